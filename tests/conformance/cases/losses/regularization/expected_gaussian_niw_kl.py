"""`expected_gaussian_niw_kl`: divergence of a Gaussian from a drawn one, on average."""

import numpy as np

from anymax._conformance.niw import expected_kl, moments
from anymax.testing import Case

_ARGS = moments(np.random.default_rng(3), 2, 3, d=4)
_BAD = (np.where(_ARGS[0] > 1, np.nan, _ARGS[0]), *_ARGS[1:])

CASES = [
    Case("batch", _ARGS, {"l0": 2.0, "n0": 5.5}, compiled=True, smooth=True, condition=16.0),
    Case("one", tuple(x[..., :1] for x in _ARGS), {"l0": 0.5, "n0": 0.25}, smooth=True,
         condition=16.0),
    Case("bad", _BAD, {"l0": 2.0, "n0": 40.0}, compiled=True, condition=64.0),
    Case("nothing", (np.zeros((0, 2)), np.ones((0, 2)), np.zeros(2), np.ones(2)),
         {"l0": 1.0, "n0": 4.0}),
]  # fmt: skip
INTEGERS = ()


def ORACLE(mean, var, m0, v0, *, l0, n0):
    return expected_kl(mean, var, m0, v0, l0, n0)


def DRAW(rng):
    d = int(rng.integers(1, 5))
    return Case("drawn", moments(rng, 3, d=d), {"l0": 2.0, "n0": d + 1.5}, condition=1e3)
