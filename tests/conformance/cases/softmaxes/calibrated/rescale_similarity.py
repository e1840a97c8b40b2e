"""`rescale_similarity`: similarity discounted by an output quantile."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(26)
_Q, _V = 20 * _RNG.uniform(size=(3, 4)), _RNG.uniform(size=(3, 4))

CASES = [
    Case("edges", (np.asarray([0.0, np.nan, 1000.0, 3.0]), np.asarray([1.0, 0.5, 0.25, np.nan])),
         compiled=True),
    Case("smooth", (_Q, _V), smooth=True),
    Case("broadcast", (_Q, _V[:, :1]), smooth=True),
    Case("scalar", (np.asarray(1.0), np.asarray(0.5))),
    Case("none", (np.zeros((0, 2)), np.zeros((0, 2)))),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(q, v):
    return v * np.log(2 + q)


def DRAW(rng):
    shape = tuple(rng.integers(1, 4, size=2))
    return Case("drawn", (9 * rng.uniform(size=shape), rng.uniform(size=shape)))
