"""Softmax focal loss: softmax_focal_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, log_softmax
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_ROWS = {"reduction": "none"}
_ALL = {"weight": _WEIGHT, "label_smoothing": 0.25, "where": np.arange(5) != 2}

CASES = [
    Case("edges", (_EDGES, _LABELS), {"gamma": 0.5, **_ROWS}, compiled=True),
    Case("masked", (_EDGES, _LABELS), {"where": _WHERE, **_ROWS}, compiled=True),
    Case("mean", (_X, _Y), smooth=True),
    Case("plain", (_X, np.where(_Y == 3, -100, _Y)), {"gamma": 0.0, **_ALL}, smooth=True),
    Case("everything", (_X, _Y), {"gamma": 1.5, **_ALL}, smooth=True),
    Case("all_ignored", (_X, np.full((2, 3), -100)), {"gamma": 1.0, "weight": _WEIGHT}),
    Case("one_class", (logits(4, 1), np.zeros(4, int)), {"gamma": 0.5}),
]


def _cost(z, t, lost, gamma):
    p = np.exp(log_softmax(z))
    others = np.asarray([np.sum(np.delete(p, c)) for c in range(p.size)])
    return np.inf if lost else -np.sum(t * others**gamma * log_softmax(z))


def ORACLE(
    logits, target, *, gamma=2.0, axis=-1, where=None, weight=None, ignore_index=-100,
    label_smoothing=0.0, reduction="mean",
):  # fmt: skip
    part = np.broadcast_to(True if where is None else where, logits.shape)
    x, part = np.moveaxis(logits, axis, -1), np.moveaxis(part, axis, -1)
    part = part & (target != ignore_index)[..., None]
    hot = np.arange(x.shape[-1]) == target[..., None]
    spread = label_smoothing * part / np.maximum(part.sum(axis=-1, keepdims=True), 1)
    w = np.ones(x.shape[-1]) if weight is None else weight
    t = w * ((1.0 - label_smoothing) * hot + spread)
    if reduction != "mean":
        return by_examples(_cost, x, t, gamma, where=part, reduction=reduction)
    live = np.any(part & (x != -np.inf), axis=-1)
    count = np.sum(live * (hot @ w))
    total = by_examples(_cost, x, t, gamma, where=part, reduction="sum")
    return total / count if count else np.longdouble(0.0)


def _cross_entropy_at_0(form, case):
    options = {**case.options, "gamma": 0.0}
    plain = {k: v for k, v in options.items() if k != "gamma"}
    return form(*case.args, **options), am.cross_entropy(*case.args, **plain)


def _two_classes_are_one_sigmoid(form, case):
    x, y = case.args
    if set(case.options) - {"gamma", "reduction"} or not np.isfinite(x).all():
        return None
    options = {"gamma": case.options.get("gamma", 2.0), "reduction": "none"}
    two, label = (
        np.stack([np.zeros_like(x), x], axis=-1),
        (np.zeros(x.shape, int) + y[..., None]) % 2,
    )
    return form(two, label, **options), am.sigmoid_focal_loss(x, label, alpha=None, **options)


IDENTITIES = (_cross_entropy_at_0, _two_classes_are_one_sigmoid)
