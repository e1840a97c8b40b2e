"""Cases of multilabel_soft_margin_loss."""

import numpy as np

from anymax._conformance.examples import binary_edges, log_sigmoid, reduced
from anymax.testing import Case, Golden, logits

_X, _T = binary_edges()
_FINITE = np.isfinite(_X)
_Z, _HOT = logits(6, 5, seed=8).reshape(2, 3, 5), np.arange(30).reshape(2, 3, 5) % 3 == 0
_SOFT = np.abs(logits(6, 5, seed=9)).reshape(2, 3, 5) % 1.0
_SOFT[0, 0] = [0.0, 1.0, 0.5, 0.0, 1.0]
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 0.0])
_KEEP = np.arange(30).reshape(2, 3, 5) % 4 != 3
_KEEP[1, 2] = False

CASES = [
    Case("edges", (_X.T, _T.T), {"reduction": "none", "axis": 0}, wrt=(0,)),
    Case("masked", (_X, _T), {"where": _FINITE, "reduction": "none"}, wrt=(0,), compiled=True),
    Case("hot", (_Z, _HOT), smooth=True),
    Case("soft", (_Z, _SOFT), {"weight": _WEIGHT}, wrt=(0, 1), smooth=True),
    Case("kept", (_Z, _SOFT), {"where": _KEEP, "weight": _WEIGHT}, wrt=(0, 1), compiled=True),
    Case("one_row", (_Z[0, 0], _HOT[0, 0]), {"reduction": "sum"}),
    Case("nothing", (_Z, _HOT), {"where": np.zeros((2, 3, 1), bool)}),
]  # fmt: skip


def ORACLE(x, t, *, axis=-1, where=None, weight=None, reduction="mean"):
    x, t, keep = (
        np.moveaxis(a, axis, -1) for a in (x, t, np.broadcast_to(where is None or where, x.shape))
    )
    w = np.ones(x.shape[-1]) if weight is None else weight
    keep = keep.astype(bool)
    x, t = np.where(keep, x, 0), np.where(keep, t, 0)
    loss = -_times(t, log_sigmoid(x)) - _times(1.0 - t, log_sigmoid(-x))
    loss = np.where(keep, _times(w, loss), 0)
    loss = np.sum(loss, axis=-1) / np.maximum(np.sum(keep, axis=-1), 1)
    return reduced(loss, reduction, live=np.any(keep, axis=-1))


def _times(a, b):
    return np.where(a == 0, np.where(np.isnan(b), np.nan, 0.0), a * b)


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=rng.integers(1, 4)))
    x = rng.normal(size=shape) * rng.choice([1.0, 20.0])
    return Case("drawn", (x, rng.integers(0, 2, size=shape) > 0))


def GOLDEN(load):
    """torch.nn.functional.multilabel_soft_margin_loss."""
    z = load("classic-hinge__multi_margin")
    for n in range(3):
        args = (z[f"in_scores_{n}"], z[f"in_multilabel_soft_{n}"])
        expected = z[f"out_multilabel_soft_margin_{n}"]
        yield Golden(Case(str(n), args, {"reduction": "none"}), expected)
