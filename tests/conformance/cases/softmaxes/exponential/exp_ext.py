"""`exp_ext`: exponential as mantissa and power of two."""

import numpy as np

from anymax.testing import Case

_LN2 = np.log(np.longdouble(2))


def _points(rng, size):
    """Exponents up to 128, which every dtype holds, away from where rounding flips."""
    x = (rng.integers(-128, 129, size=size) + rng.uniform(-0.2, 0.2, size=size)) * float(_LN2)
    return np.where(np.abs(x) > 1, x, 0.25)


_X = _points(np.random.default_rng(18), (3, 4))
_EDGES = np.asarray([0.0, -np.inf, np.inf, np.nan, 1.0, -1.0, 80.0, -80.0])

CASES = [
    Case("edges", (_EDGES,), wrt=(), compiled=True),
    Case("points", (_X,), wrt=(), compiled=True),
    Case("scalar", (np.asarray(0.25),), wrt=()),
    Case("none", (np.zeros((0, 2)),), wrt=()),
]


def ORACLE(x):
    n = np.rint(x / _LN2)
    m = np.where(x == -np.inf, 0, np.exp(x - np.where(np.isinf(n), 0, n) * _LN2))
    return np.where(x == np.inf, np.nan, m), np.where(np.isinf(x), x, n)


def DRAW(rng):
    return Case("drawn", (_points(rng, tuple(rng.integers(1, 4, size=2))),))


def reconstructs_the_exponential(form, case):
    x = case.args[0]
    m, n = form(x)
    return np.ldexp(m, np.nan_to_num(n, posinf=0, neginf=0).astype(int)), np.where(
        x == np.inf, np.nan, np.exp(x)
    )


IDENTITIES = (reconstructs_the_exponential,)
