"""`attention_hinge`: shortfall of the margins of a chosen token."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(7)
_X, _Z, _W = (_RNG.normal(size=s) for s in ((5, 4, 3), (5, 3), (3, 3)))
_BEST = np.asarray([0, 3, 2, -1, 1])
_KEEP = np.ones((5, 4), bool)
_KEEP[1, 0] = False
_KEEP[2] = False
_BAD, _BAD_Z = _X.copy(), _Z.copy()
_BAD[1, 0] = _BAD[2] = _BAD_Z[2] = np.nan
_ARGS = (_X, _Z, _W, _BEST)

CASES = [
    Case(
        "masked", (_BAD, _BAD_Z, _W, _BEST), {"where": _KEEP, "reduction": "none"},
        compiled=True, condition=64.0,
    ),
    Case("mean", _ARGS, smooth=True, condition=64.0),
    Case("margin", _ARGS, {"margin": np.asarray(2.0)}, wrt=(0, 1, 2, "margin"), condition=64.0),
    Case("sum", _ARGS, {"margin": 0.5, "where": _KEEP, "reduction": "sum"}, condition=64.0),
    Case("masked_choice", _ARGS, {"where": np.arange(4) != 1, "reduction": "none"}, condition=64.0),
    Case("none_chosen", (_X, _Z, _W, np.full(5, -1))),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(x, z, w, index, *, margin=1.0, where=None, reduction="mean"):
    keep = np.broadcast_to(True if where is None else where, x.shape[:-1])
    loss, pairs = np.zeros(x.shape[:-1], np.longdouble), 0
    for row in np.ndindex(loss.shape[:-1]):
        best = index[row]
        for t in range(x.shape[-2]):
            if best >= 0 and t != best and keep[row][t]:
                known = keep[row][best]
                gap = (x[row][best] - x[row][t]) @ w @ z[row] if known else -np.inf
                loss[row][t] = margin - gap if not margin - gap <= 0 else 0
                pairs += 1
    if reduction == "mean":
        return np.sum(loss) / max(pairs, 1)
    return np.sum(loss) if reduction == "sum" else loss


def DRAW(rng):
    n, t, d = rng.integers(1, 5, size=3)
    args = tuple(rng.normal(size=s) for s in ((n, t, d), (n, d), (d, d)))
    return Case("random", (*args, rng.integers(-1, t, size=n)), condition=1e3)
