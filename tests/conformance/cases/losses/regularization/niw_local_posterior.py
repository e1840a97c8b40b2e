"""`niw_local_posterior`: best Gaussian of an episode."""

import numpy as np

from anymax._conformance.niw import moments
from anymax.testing import Case

_MEAN, _PRECISION, _M0, _V0 = moments(np.random.default_rng(5), 2, 3, d=4)
_FLAT = np.where(_PRECISION > 1.25, 0.0, _PRECISION)

CASES = [
    Case("batch", (_MEAN, _PRECISION, _M0, _V0), {"n0": 5.5}, compiled=True, smooth=True,
         condition=64.0),
    Case("flat", (_MEAN, _FLAT, _M0, _V0), {"n0": 2.0}, compiled=True, condition=64.0),
    Case("bad", (np.where(_MEAN > 1, np.nan, _MEAN), _FLAT, _M0, _V0), {"n0": 2.0},
         condition=64.0),
]  # fmt: skip
INTEGERS = ()


def ORACLE(mean, precision, m0, v0, *, n0):
    var = 1 / (precision + n0 / v0)
    return var * (precision * mean + n0 / v0 * m0), var


def DRAW(rng):
    return Case("drawn", moments(rng, 3, d=2), {"n0": 2.5}, condition=1e4)


def _prior_without_curvature(form, case):
    mean, precision, m0, v0 = case.args
    got = form(np.where(np.isnan(mean), 0, mean), 0 * precision, m0, v0, **case.options)
    expected = np.broadcast_to(m0, mean.shape), np.broadcast_to(v0 / case.options["n0"], mean.shape)
    return np.stack(got), np.stack(expected)


IDENTITIES = (_prior_without_curvature,)
