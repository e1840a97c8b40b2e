"""`softmax_collapse_rate`: share of rows whose softmax rounds to a single class."""

import numpy as np

from anymax.testing import Case

_INF = np.inf
# gaps are below 2 or above 60: whether a sum rounds to 1 is the same in every dtype
_X = np.asarray(
    [
        [0.0, 1.0, 0.5, -100.0],
        [0.0, 100.0, 1.0, 0.5],
        [-200.0, -300.0, -400.0, -_INF],
        [1.0, 1.0, 1.0, 1.0],
        [-_INF] * 4,
        [np.nan, 0.0, 1.0, 2.0],
        [_INF, 0.0, 1.0, 2.0],
        [1e4, 0.0, 5.0, np.nan],
    ]
)
_MASK = np.ones(_X.shape, bool)
_MASK[7, 3] = False

CASES = [
    Case("edges", (_X,), {"where": _MASK}, wrt=(), compiled=True),
    Case("plain", (_X[:4].reshape(2, 2, 4),), wrt=(), compiled=True),
    Case("empty", (_X[4:5],), wrt=()),
    Case("first_axis", (_X[:4].T,), {"axis": 0}, wrt=()),
    Case("all_axes", (_X[:4],), {"axis": None}, wrt=()),
    Case("one_class", (_X[:3, :1],), wrt=()),
    Case("scalar", (np.asarray(0.75),), wrt=()),
    Case("no_row", (np.zeros((0, 4)),), wrt=()),
    Case("no_class", (np.zeros((3, 0)),), wrt=()),
]


def ORACLE(logits, *, axis=-1, where=None):
    keep = (logits != -_INF) & (True if where is None else where)
    axes = tuple(range(logits.ndim)) if axis is None or logits.ndim == 0 else axis
    z = np.where(keep, logits, -_INF)
    top = np.max(z, axis=axes, keepdims=True, initial=-_INF)
    total = np.sum(np.exp(z - np.where(top == -_INF, 0, top)), axis=axes)
    some = np.any(keep, axis=axes)
    return np.asarray(np.sum((total == 1) & some) / max(np.sum(some), 1), logits.dtype)


def DRAW(rng):
    x = rng.integers(0, 2, size=(4, 3)) * 100.0 + rng.uniform(0, 1, size=(4, 3))
    return Case("drawn", (x,), wrt=())
