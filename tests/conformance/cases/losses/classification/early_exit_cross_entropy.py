"""Cross entropy at every exit: early_exit_cross_entropy."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, log_softmax
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_TWO = np.stack([_EDGES, np.where(np.isnan(_EDGES), 0.0, _EDGES[::-1])])
_X = logits(12, 4, seed=8).reshape(3, 2, 2, 4)
_Y = np.asarray([[0, 3], [2, 1]])
_SOFT = (1.0 + np.arange(16).reshape(2, 2, 4) % 5) / 16.0
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25])
_ALPHA = np.asarray([0.5, 0.0, 2.0])

CASES = [
    Case("edges", (_TWO, _LABELS), {"reduction": "none"}, compiled=True),
    Case("masked", (_TWO, _LABELS), {"where": _WHERE, "reduction": "none"}, compiled=True),
    Case("linear", (_X, _Y), smooth=True),
    Case("weighted", (_X, _Y), {"exit_weight": _ALPHA, "weight": _WEIGHT}, wrt=(0, "exit_weight"),
         smooth=True),
    Case("smoothed", (_X, np.where(_Y == 3, -100, _Y)),
         {"exit_weight": "aggressive", "label_smoothing": 0.25, "weight": _WEIGHT}, smooth=True),
    Case("soft", (_X, _SOFT), {"axis": -1, "reduction": "sum"}, smooth=True),
    Case("classes_first", (np.moveaxis(_X, -1, 1), np.moveaxis(_SOFT, -1, 0)), {"axis": 1}),
]  # fmt: skip


def _cost(z, t, lost):
    return np.inf if lost else -np.sum(t * log_softmax(z))


def ORACLE(
    logits, target, *, exit_weight="linear", axis=-1, where=None, weight=None, ignore_index=-100,
    label_smoothing=0.0, reduction="mean",
):  # fmt: skip
    part = np.broadcast_to(True if where is None else where, logits.shape)
    x, part = np.moveaxis(logits, axis, -1), np.moveaxis(part, axis, -1)
    n, num_classes = x.shape[0], x.shape[-1]
    if isinstance(exit_weight, str):
        steps = np.arange(1, n + 1, dtype=np.longdouble)
        mild = np.where(steps == n, 1, np.longdouble(0.1))
        exit_weight = steps / np.sum(steps) if exit_weight == "linear" else mild
    w = np.ones(num_classes) if weight is None else weight
    soft = target.dtype.kind == "f"
    if soft:
        t = np.moveaxis(target, axis if axis < 0 else max(axis - 1, 0), -1)
        count = np.ones(t.shape[:-1])
    else:
        t = (np.arange(num_classes) == target[..., None]) * np.longdouble(1)
        part = part & (target != ignore_index)[..., None]
        count = t @ w
    total = np.longdouble(0)
    for a, z, keep in zip(exit_weight, x, part):
        share = keep / np.maximum(keep.sum(axis=-1, keepdims=True), 1)
        mixed = w * ((1 - label_smoothing) * t + label_smoothing * share)
        loss = by_examples(_cost, z, mixed, where=keep, reduction="none")
        live = np.any(keep & (z != -np.inf), axis=-1)
        if reduction == "sum":
            loss = np.sum(loss)
        elif reduction == "mean":
            loss = np.sum(loss) / max(np.sum(count * live), 1e-300)
        total = total + (0 * np.where(np.isinf(loss), 0, loss) if a == 0 else a * loss)
    return total


def _last_exit_alone(form, case):
    x, y = case.args
    if "axis" in case.options or "exit_weight" in case.options:
        return None
    last = (np.arange(x.shape[0]) == x.shape[0] - 1).astype(float)
    finite = np.concatenate([0 * np.nan_to_num(x[:-1]), x[-1:]])
    return form(finite, y, exit_weight=last, **case.options), am.cross_entropy(
        x[-1], y, **case.options
    )


IDENTITIES = (_last_exit_alone,)
