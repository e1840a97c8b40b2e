"""Cases of lovasz_hinge."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax._conformance.regions import jaccard_extension, probabilities
from anymax.testing import Case

_S = 4.0 * probabilities(2, 3, 4) - 1.9
_Y = np.arange(24).reshape(2, 3, 4) * 7 % 5 % 2
_BAD = _S.copy()
_BAD[0, 1, 1:], _BAD[1, 2, 0] = [np.nan, -np.inf, np.inf], np.nan
_KEEP = np.isfinite(_BAD)
_ROWS = {"per_sample": True, "reduction": "none"}
_INF = np.where(np.arange(4) == 1, np.inf, _S[0, 0])

CASES = [
    Case("bad", (_BAD, _Y), {"per_sample": True, "reduction": "none"}),
    Case("masked", (_BAD, _Y), {"where": _KEEP, "per_sample": True}, compiled=True),
    Case("mean", (_S, _Y), smooth=True),
    Case("booleans", (_S[0], _Y[0] > 0), {"per_sample": True, "reduction": "sum"}, compiled=True),
    Case("infinite", (np.stack([_INF, -_INF]), np.ones((2, 4), int)), _ROWS),
    Case("ties", (np.asarray([0.5, 0.5, -0.5, 0.5]), np.asarray([1, 0, 1, 1])), wrt=()),
    Case("nothing", (_S, _Y), {"where": np.zeros((2, 1, 1), bool), "per_sample": True}),
    Case("no_pixel", (np.zeros(0), np.zeros(0, int))),
]  # fmt: skip
CASES = [c.with_(c.name, condition=4.0) for c in CASES]


def ORACLE(s, y, *, where=None, per_sample=False, reduction="mean"):
    keep = np.broadcast_to(where is None or where, s.shape) != 0
    lead = s.shape[:1] if per_sample else ()
    s, y, keep = (x.reshape(*lead, int(np.prod(s.shape[len(lead) :]))) for x in (s, y, keep))
    loss = np.zeros(lead, np.longdouble)
    for row in np.ndindex(lead):
        truth = y[row][keep[row]] > 0
        errors = 1.0 - s[row][keep[row]] * np.where(truth, 1.0, -1.0)
        loss[row] = jaccard_extension(np.maximum(0.0, errors), truth)
    return reduced(loss, reduction, live=keep.any(axis=-1))


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=rng.integers(0, 3)))
    return Case("drawn", (np.asarray(rng.normal(size=shape)), rng.integers(0, 2, size=shape) > 0))
