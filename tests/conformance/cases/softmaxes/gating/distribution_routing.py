"""Soft assignment to clusters whose centres follow."""

import numpy as np

from anymax._conformance.oracles import weights
from anymax.testing import Case, Golden

_RNG = np.random.default_rng(21)


def _centers(c, d, rng=_RNG):
    x = rng.normal(size=(c, d))
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True))


_X, _C = _RNG.normal(size=(6, 4)), _centers(3, 4)
_BAD = _X.copy()
_BAD[1, 2], _BAD[4, 0] = np.nan, np.inf

CASES = [
    Case("edges", (_BAD, _C), {"beta": 0.5}, (), compiled=True, condition=8.0),
    Case("batch", (_X, _C), {}, (), condition=8.0),
    Case("evaluation", (_X, _C), {"update": False}, (), condition=4.0),
    Case("no_round", (_X, _C), {"num_iters": 0}, (), condition=4.0),
    Case("frozen", (_X, _C), {"beta": 1.0}, (), condition=8.0),
    Case("ties", (np.ones((3, 2)), np.ones((2, 2))), {"update": False}, (), condition=4.0),
    Case("one_cluster", (_X, _C[:1]), {}, (), condition=4.0),
    Case("one_example", (_X[:1], _C), {}, (), condition=8.0),
    Case("zero_center", (_X * 0.0, _C * 0.0), {}, ()),
]
INTEGERS = (0, 1)


def ORACLE(x, centers, *, beta=0.9, num_iters=3, update=True):
    bad = ~np.isfinite(x).all(axis=-1, keepdims=True)
    x, c = np.where(bad, 0, x), centers
    for _ in range(num_iters if update else 0):
        r = np.where(bad, 0, _soft(x @ c.T))
        c = beta * c + (1 - np.longdouble(beta)) * (r.T @ x)
        norm = np.sqrt(np.sum(c * c, axis=-1, keepdims=True))
        c = c / np.where(norm == 0, 1, norm)
    r = _soft(x @ c.T)
    cluster = np.where(bad[:, 0], -1, np.argmax(r, axis=-1))
    return np.where(bad, np.nan, r), cluster, c


def _soft(s):
    return weights(s, np.ones(s.shape, bool))


def DRAW(rng):
    b, c, d = rng.integers(1, 5, size=3)
    return Case("drawn", (8 * rng.normal(size=(b, d)), _centers(c, d, rng)), condition=256.0)


def rows_sum_to_one(form, case):
    r = form(*case.args, **case.options)[0]
    return np.sum(r, axis=-1), np.where(np.isfinite(case.args[0]).all(axis=-1), 1.0, np.nan)


IDENTITIES = (rows_sum_to_one,)


def GOLDEN(load):
    """A third party's implementation; its evaluation uses the updated centres."""
    z = load("adaptdhm__distribution_routing")
    for i in (0, 1):
        x, beta = z[f"in_x_{i}"], float(z[f"in_beta_{i}"])
        after = z[f"out_center_{i}"]
        case = Case(f"train_{i}", (x, z[f"in_center_{i}"]), {"beta": beta}, wrt=())
        expected = _soft(x @ after.T), z[f"out_cluster_train_{i}"], after
        yield Golden(case, expected, rtol=1e-11)
