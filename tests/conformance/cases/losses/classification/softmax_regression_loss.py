"""`softmax_regression_loss`: least squares between a softmax of linear scores and a target."""

import numpy as np

from anymax._conformance.oracles import weights
from anymax.testing import Case

_RNG = np.random.default_rng(20)
_A, _X, _W = (_RNG.normal(size=s) for s in ((4, 5, 3), (4, 3), (4, 5)))
_B = _RNG.dirichlet(np.ones(5), size=4)
_KEEP = np.ones((4, 5), bool)
_KEEP[1, 2:4] = _KEEP[2] = False
_BAD, _BAD_X, _BAD_B = _A.copy(), _X.copy(), _B.copy()
_BAD[1, 2] = _BAD[2] = _BAD_X[2] = _BAD_B[1, 3] = np.nan
_BAD_B[3, 0] = np.nan
_ROWS = {"reduction": "none"}

CASES = [
    Case(
        "masked", (_BAD, _BAD_X, _BAD_B), {"where": _KEEP, "w": _W, **_ROWS},
        wrt=(0, 1, 2, "w"), compiled=True, condition=16.0,
    ),
    Case("mean", (_A, _X, _B), smooth=True, condition=16.0),
    Case("regularised", (_A, _X, _B), {"w": _W}, wrt=(0, 1, 2, "w"), smooth=True, condition=16.0),
    Case("norm", (_A, _X, _B), {"squared": False, **_ROWS}, smooth=True, condition=16.0),
    Case("exact", (0 * _A, _X, np.full((4, 5), 0.2)), {"squared": False}, wrt=(), condition=1e12),
    Case(
        "weighted", (_A, _X, _B),
        {"weight": np.asarray([1.0, 0.0, 2.0, 0.5]), "where": _KEEP}, condition=16.0,
    ),
    Case("one_row", (_A[0, :1], _X[0], np.ones(1))),
    Case("no_row", (_A[:, :0], _X, _B[:, :0])),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(a, x, b, *, w=None, squared=True, where=None, weight=None, reduction="mean"):
    keep = np.broadcast_to(True if where is None else where, a.shape[:-1])
    loss = np.zeros(a.shape[:-2], np.longdouble)
    for row in np.ndindex(loss.shape):
        part = keep[row]
        z = a[row][part] @ x[row]
        c = np.sum((weights(z, np.ones(z.shape, bool)) - b[row][part]) ** 2)
        loss[row] = c / 2 if squared else np.sqrt(c)
        if w is not None:
            loss[row] += np.sum((w[row][part] * z) ** 2) / 2
    count = np.where(keep.any(-1), 1.0 if weight is None else weight, 0.0)
    loss = np.where(count != 0, loss * count, 0)
    if reduction == "mean":
        return np.sum(loss) / np.sum(count) if np.sum(count) else np.zeros(())
    return np.sum(loss) if reduction == "sum" else loss


def DRAW(rng):
    n, d = rng.integers(1, 5, size=2)
    args = rng.normal(size=(n, d)), rng.normal(size=d), rng.dirichlet(np.ones(n))
    return Case("random", args, condition=1e4)
