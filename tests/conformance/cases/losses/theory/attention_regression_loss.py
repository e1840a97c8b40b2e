"""`attention_regression_loss`: half the squared distance between attention and a target."""

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case

_RNG = np.random.default_rng(0)
_ARGS = tuple(_RNG.normal(size=s) for s in ((3, 2), (4, 2), (2, 2), (4, 3), (3, 3)))
_BATCH = tuple(_RNG.normal(size=s) for s in ((2, 3, 2), (2, 4, 2), (2, 2), (2, 4, 3), (2, 3, 3)))
_ROWS = {"reduction": "none"}
_BAD = tuple(x.copy() for x in _BATCH)
_BAD[0][0, 1] = np.nan
_BAD[3][1, 2, 0] = np.inf

CASES = [
    Case("batch", _BATCH, {"scale": 0.5, **_ROWS}, compiled=True),
    Case("sum", _ARGS, smooth=True),
    Case("mean", _BATCH, {"scale": -0.25, "reduction": "mean"}, smooth=True),
    Case("nan", _BAD, _ROWS, wrt=()),
    Case("large", (512.0 * _ARGS[0], *_ARGS[1:]), _ROWS, wrt=(3, 4)),
    Case("one_key", (_ARGS[0], _ARGS[1][:1], _ARGS[2], _ARGS[3][:1], _ARGS[4])),
    Case("no_key", (_ARGS[0], _ARGS[1][:0], _ARGS[2], _ARGS[3][:0], _ARGS[4])),
]
INTEGERS = (0, 1, 2, 3, 4)


def ORACLE(x1, x2, w, h, target, *, scale=1.0, reduction="sum"):
    s = scale * x1 @ w @ np.swapaxes(x2, -1, -2)
    f = weights(s, taking_part(s))
    bad = ~np.isfinite(x1).all(-1) | ~np.isfinite(h).all((-1, -2))[..., None]
    out = np.where(bad[..., None], np.nan, f @ np.nan_to_num(h, posinf=0.0))
    rows = np.sum((out - target) ** 2, axis=-1) / 2
    return {"sum": np.sum, "mean": np.mean, "none": np.asarray}[reduction](rows)
