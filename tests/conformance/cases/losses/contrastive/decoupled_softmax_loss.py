"""`decoupled_softmax_loss`: each positive against the negatives alone."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.pairs import lse
from anymax.testing import Case, logits

_X = logits(6, 5, seed=1)
_Y = np.asarray(
    [[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0] * 5]
).astype(bool)
_EDGES = _X.copy()
_EDGES[0, 3] = _EDGES[3, 1] = -np.inf  # a negative, and a positive: +inf
_EDGES[4, [1, 2]] = np.nan, np.inf  # for the mask to hide
_EDGES[5] = np.nan
_WHERE = np.ones((6, 5), bool)
_WHERE[4, [1, 2]], _WHERE[5] = False, False
_LISTS = np.asarray([[0, 2, -1], [-1, -1, -1], [4, 1, 3], [1, 1, -1], [0, -1, -1], [3, 2, -1]])
_NONE = {"reduction": "none"}

CASES = [
    Case("edges", (_EDGES, _Y), {"where": _WHERE, **_NONE}, compiled=True),
    Case(
        "mean", (_X, _LISTS), {"temperature": np.asarray([0.5, 1, 2, 4, 0.25, 8])},
        (0, "temperature"), compiled=True, smooth=True,
    ),
    Case(
        "weighted", (_X, _Y),
        {"positive_weight": np.tile([0.5, 1, 0, 2, 0.25], (6, 1)), "weight": np.arange(6) / 4.0,
         "positive_reduction": "sum", "temperature": 4.0}, (0, "positive_weight"), smooth=True,
    ),
    Case("apart", (np.asarray([[-500.0, -900.0, 300.0]]), np.asarray([[True, False, False]]))),
    Case("one_row", (_X[3], _Y[3]), {"reduction": "sum"}),
    Case("no_row", (np.zeros((0, 4)), np.zeros((0, 4), bool))),
]  # fmt: skip


def ORACLE(
    logits, target, *, temperature=1.0, positive_weight=None, positive_reduction="mean", axis=-1,
    where=None, weight=None, reduction="mean",
):  # fmt: skip
    x = np.moveaxis(logits, axis, -1)
    c = x.shape[-1]
    t = np.moveaxis(target, axis, -1)
    hot = t if t.dtype == bool else (t[..., None] == np.arange(c)).any(axis=-2)
    part = np.moveaxis(np.broadcast_to(True if where is None else where, logits.shape), axis, -1)
    w = np.broadcast_to(1.0 if positive_weight is None else positive_weight, x.shape)
    keep = part & (x != -np.inf)
    loss, live = np.zeros(x.shape[:-1], np.longdouble), keep.any(axis=-1)
    heat = np.broadcast_to(temperature, loss.shape)
    for row in filter(lambda row: live[row], np.ndindex(loss.shape)):
        negatives = lse(x[row][keep[row] & ~hot[row]] / heat[row])
        for i in np.nonzero(hot[row] & (w[row] != 0))[0]:
            cost = np.logaddexp(0, negatives - x[row][i] / heat[row]) if keep[row][i] else np.inf
            loss[row] += w[row][i] * cost
        if positive_reduction == "mean":
            loss[row] /= max(hot[row].sum(), 1)
    return reduced(loss, reduction, live=live, weight=weight)


def _one_positive_is_cross_entropy(form, case):
    x, t = case.args
    if t.dtype != bool or "where" in case.options or "weight" in case.options:
        return None
    labels = np.arange(x.size // x.shape[-1]).reshape(x.shape[:-1]) % x.shape[-1]
    options = {**case.options, "reduction": "none"}
    hot = labels[..., None] == np.arange(x.shape[-1])
    return form(x, hot, **options), am.cross_entropy(x, labels, reduction="none")


def _gaps_between_positives_do_not_matter(form, case):
    """Leaving the other positives out changes no term."""
    x, t = case.args
    if t.dtype != bool or "where" in case.options or "positive_weight" in case.options:
        return None
    total = 0.0
    for c in range(x.shape[-1]):
        alone = t & (np.arange(x.shape[-1]) == c)
        rest = ~t | alone
        total = total + form(x, alone, where=rest, reduction="none")
    return total, form(x, t, positive_reduction="sum", reduction="none")


IDENTITIES = (_one_positive_is_cross_entropy, _gaps_between_positives_do_not_matter)
