"""`dkw_band`: confidence band of output quantiles."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(27)
_V, _N = _RNG.uniform(0.35, 0.65, size=(2, 3, 4)), _RNG.integers(40, 400, size=(2, 3, 4))
_Y = _RNG.integers(0, 4, size=(2, 3))
_EDGES = np.asarray([[0.0, 1.0, 0.5, np.nan]] * 2)

CASES = [
    Case("edges", (_EDGES, np.asarray([[0, 5, 0, 9], [90, 0, 7, 1]]), np.asarray([2, 3])), wrt=(),
         compiled=True, condition=8.0),
    Case("smooth", (_V, _N, _Y), smooth=True, condition=64.0),
    Case("loose", (_V, _N, _Y), {"alpha": 0.5}, condition=64.0),
    Case("row", (_V[0, 0], _N[0, 0], np.asarray(_Y[0, 0])), condition=64.0),
    Case("none", (np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros(0, int))),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(v, n_hat, predicted, *, alpha=0.95):
    n = n_hat.astype(np.longdouble)
    bound = np.sqrt(np.log(2 / (1 - np.longdouble(alpha))) / (2 * np.where(n > 0, n, 1)))
    bound = np.where(n > 0, bound, 1)
    side = np.where(predicted[..., None] == np.arange(v.shape[-1]), bound, -bound)
    return np.clip(v - side, 0, 1), np.clip(v + side, 0, 1)


def DRAW(rng):
    b, c = rng.integers(1, 5, size=2)
    args = rng.uniform(size=(b, c)), rng.integers(0, 99, size=(b, c)), rng.integers(0, c, size=b)
    return Case("drawn", args, condition=1e3)
