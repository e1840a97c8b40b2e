"""`attention_erm_loss`: empirical risk of a one-query attention head."""

import numpy as np

from anymax._conformance.oracles import weights
from anymax.testing import Case

_RNG = np.random.default_rng(4)
_X, _Z, _W, _V = (_RNG.normal(size=s) for s in ((4, 3, 2), (4, 2), (2, 2), (2,)))
_Y = np.asarray([1.0, -1.0, -1.0, 1.0])
_KEEP = np.asarray([[True] * 3, [True, False, True], [False] * 3, [True, True, False]])
_BAD = _X.copy()
_BAD[1, 1] = _BAD[2] = np.nan
_ARGS = (_X, _Z, _W, _V, _Y)
_WRT = (0, 1, 2, 3)
_WEIGHT = np.asarray([1.0, 0.0, 2.0, 0.5])

CASES = [
    Case(
        "masked", (_BAD, *_ARGS[1:]), {"where": _KEEP, "reduction": "none"}, wrt=_WRT,
        compiled=True, condition=16.0,
    ),
    Case("logistic", _ARGS, wrt=_WRT, smooth=True, condition=16.0),
    Case("exponential", _ARGS, {"kind": "exponential"}, wrt=_WRT, smooth=True, condition=16.0),
    Case(
        "correlation", (*_ARGS[:4], _Y > 0), {"kind": "correlation", "weight": _WEIGHT},
        wrt=(*_WRT, "weight"), condition=64.0,
    ),
    Case("far", (64.0 * _X, *_ARGS[1:]), {"reduction": "sum"}, wrt=(3,), condition=16.0),
    Case("all_masked", _ARGS, {"where": np.zeros((4, 1), bool)}, wrt=_WRT),
    Case("masked_mean", _ARGS, {"where": _KEEP}, wrt=_WRT, condition=16.0),
]  # fmt: skip
INTEGERS = (0, 1, 2, 3, 4)


def ORACLE(x, z, w, v, target, *, kind="logistic", where=None, weight=None, reduction="mean"):
    keep = np.broadcast_to(True if where is None else where, x.shape[:-1])
    live = keep.any(-1)
    x = np.where(keep[..., None], x, 0)
    h = np.einsum("...td,de,...e->...t", x, w, np.where(live[..., None], z, 0))
    out = np.sum(np.where(keep, weights(h, keep) * (x @ v), 0), axis=-1)
    u = out * (np.where(target, 1.0, -1.0) if target.dtype == bool else target)
    loss = {"logistic": np.logaddexp(0, -u), "exponential": np.exp(-u), "correlation": -u}[kind]
    count = np.where(live, 1.0 if weight is None else weight, 0.0)
    loss = np.where(count != 0, loss * count, 0)
    if reduction == "mean":
        return np.sum(loss) / np.sum(count) if np.sum(count) else np.zeros(())
    return np.sum(loss) if reduction == "sum" else loss


def DRAW(rng):
    n, t, d = rng.integers(1, 5, size=3)
    shapes = ((n, t, d), (n, d), (d, d), (d,))
    args = tuple(rng.normal(size=s) for s in shapes)
    return Case("random", (*args, rng.choice([-1.0, 1.0], size=n)), condition=1e3)
