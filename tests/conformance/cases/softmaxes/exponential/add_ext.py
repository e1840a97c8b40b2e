"""`add_ext`: sum of numbers given as mantissa and power of two."""

import numpy as np

from anymax.testing import Case

_INF, _NAN = np.inf, np.nan
_RNG = np.random.default_rng(19)


def _pair(rng, shape):
    return 0.75 + 0.5 * rng.uniform(size=shape), np.rint(40.0 * rng.normal(size=shape))


_A, _B = _pair(_RNG, (3, 4)), _pair(_RNG, (3, 4))
_EDGES = (
    (np.asarray([0.0, 0.0, 1.0, _NAN, 1.25]), np.asarray([-_INF, -_INF, 2.0, _NAN, 100.0])),
    (np.asarray([1.0, 0.0, 0.0, 1.0, 0.75]), np.asarray([3.0, -_INF, -_INF, 1.0, -100.0])),
)
_MANTISSAS = ((0, 0), (1, 0))  # exponents are constants

CASES = [
    Case("edges", _EDGES, wrt=(), compiled=True),
    Case("sums", (_A, _B), wrt=_MANTISSAS, smooth=True, compiled=True),
    Case("row", ((_A[0][0], _A[1][0]), _B), wrt=_MANTISSAS),
    Case("stacked", (np.stack(_A), np.stack(_B)), wrt=()),
    Case("none", (_pair(_RNG, (0, 2)), _pair(_RNG, (0, 2))), wrt=()),
]
INTEGERS = ()


def ORACLE(a, b):
    (m1, n1), (m2, n2) = a, b
    n = np.maximum(n1, n2)

    def scaled(m, k):
        return np.where(k == -np.inf, 0, m * np.exp2(np.where(k == -np.inf, 0, k - n)))

    return scaled(m1, n1) + scaled(m2, n2), n


def DRAW(rng):
    shape = tuple(rng.integers(1, 4, size=2))
    return Case("drawn", (_pair(rng, shape), _pair(rng, shape)))


def commutes(form, case):
    return form(*case.args)[0], form(*case.args[::-1])[0]


IDENTITIES = (commutes,)
