"""Cross entropy of weighted examples: sample_weighted_cross_entropy."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, reduced
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_RAW = np.asarray([0.5, -1.0, 2.0, 0.0, 1.0, -0.5, 0.25, 3.0, 1.5])
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_SOFT = (1.0 + np.arange(30).reshape(2, 3, 5) % 7) / 16.0

CASES = [
    Case("edges", (_EDGES, _LABELS, _RAW), {"reduction": "none"}, wrt=(0,), compiled=True),
    Case(
        "masked", (_EDGES, _LABELS, _RAW), {"where": _WHERE, "reduction": "none"}, wrt=(0,),
        compiled=True,
    ),
    Case("mean", (_X, _Y, _RAW[:6].reshape(2, 3)), smooth=True),
    Case("soft", (_X, _SOFT, _RAW[:6].reshape(2, 3)), {"reduction": "sum"}, smooth=True),
    Case("dropped", (_X, _Y, _RAW[:6].reshape(2, 3)),
         {"where": np.arange(6).reshape(2, 3, 1) % 2 == 0}),
]  # fmt: skip


def _cost(z, t, lost):
    top = np.max(z)
    return np.inf if lost else np.sum(t * (top + np.log(np.sum(np.exp(z - top))) - z))


def ORACLE(logits, target, sample_logits, *, axis=-1, where=None, reduction="mean"):
    loss = by_examples(_cost, logits, target, axis=axis, where=where, reduction="none")
    part = np.broadcast_to(True if where is None else where, logits.shape)
    live = np.any(part & (logits != -np.inf), axis=axis)
    share = 1 / (1 + np.exp(-sample_logits))
    return reduced(loss, reduction, live=live, weight=share, by_count=True)


def _half_of_cross_entropy(form, case):
    x, y, raw = case.args
    if y.dtype.kind == "f":
        return None
    return form(x, y, 0 * raw, **case.options), am.cross_entropy(x, y, **case.options) / 2


IDENTITIES = (_half_of_cross_entropy,)
