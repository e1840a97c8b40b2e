"""Cross entropy of logits and class targets."""

import numpy as np

import anymax as am
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, Golden, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_SOFT = np.abs(logits(6, 5, seed=9)).reshape(2, 3, 5) / 8.0
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_KEEP = np.arange(30).reshape(2, 3, 5) % 4 != 3
_KEEP[0, 1, 4] = _KEEP[1, 0, 3] = True
_ROWS = {"reduction": "none"}
_MASKED = {"where": _WHERE, "reduction": "none"}
_HALF_MASKED = np.where(np.arange(9) == 5, -100, _LABELS)

CASES = [
    Case("edges", (_EDGES, _LABELS), _ROWS, compiled=True),
    Case("masked", (_EDGES, _LABELS), {"return_lse": True, **_MASKED}, compiled=True),
    Case("masked_smoothed", (_EDGES, _LABELS), {"label_smoothing": 0.25, **_MASKED}),
    Case("ignored", (_EDGES, _HALF_MASKED), _ROWS),
    Case("mean", (_X, _Y), smooth=True, compiled=True),
    Case("sum", (_X, _Y), {"reduction": "sum"}, smooth=True),
    Case("weighted_mean", (_X, _Y), {"weight": _WEIGHT}, wrt=(0, "weight"), smooth=True),
    Case("smoothed", (_X, _Y), {"label_smoothing": 0.25, "weight": _WEIGHT}, smooth=True),
    Case("all_smoothed", (_X, _Y), {"label_smoothing": 1.0}, smooth=True),
    Case("ignored_mean", (_X, np.where(_Y == 3, -100, _Y)), smooth=True),
    Case("ignored_class", (_X, _Y), {"ignore_index": 3, "weight": _WEIGHT}, smooth=True),
    Case("all_ignored", (_X, np.full((2, 3), -100))),
    Case("dropped_example", (_X, _Y), {"where": np.asarray([[[True], [False], [True]]])}),
    Case("masked_target", (_X, _Y), {"where": np.arange(5) != 3}),
    Case("soft", (_X, _SOFT), wrt=(0, 1), smooth=True),
    Case("soft_weighted", (_X, _SOFT), {"weight": _WEIGHT, "label_smoothing": 0.25}, smooth=True),
    Case(
        "soft_masked", (_X, _SOFT * _KEEP), {"where": _KEEP, "return_lse": True}, wrt=(0,),
        smooth=True,
    ),
    Case("soft_zero_on_inf", (np.asarray([[0.5, -np.inf, 1.0]]), np.asarray([[0.25, 0.0, 0.75]]))),
    Case("palm", (_X, _Y), {"lse_square_scale": 0.125, "return_lse": True}, smooth=True),
    Case("palm_weighted", (_X, _Y), {"lse_square_scale": 0.125, "weight": _WEIGHT}, smooth=True),
    Case("palm_ignored", (_X, np.where(_Y == 3, -100, _Y)), {"lse_square_scale": 0.125}),
    Case("capped", (_X, _Y), {"softcap": 2.0, "return_lse": True}, smooth=True),
    Case("capped_array", (_X, _Y), {"softcap": np.asarray(2.0)}, wrt=(0, "softcap"), smooth=True),
    Case("capped_edges", (_EDGES, _LABELS), {"softcap": 30.0, **_MASKED}),
    Case("classes_first", (np.moveaxis(_X, -1, 0), _Y), {"axis": 0, "label_smoothing": 0.25}),
    Case("one_example", (_X[0, 0], np.asarray(_Y[0, 0]))),
    Case("one_class", (logits(4, 1), np.zeros(4, int)), smooth=True),
    Case("no_row", (np.zeros((0, 4)), np.zeros(0, int))),
    Case("wide", (logits(37, 2051), np.arange(37) * 55), {"label_smoothing": 0.25}, large=True),
    Case("deep", (logits(3000, 5), np.arange(3000) % 5), {"return_lse": True}, large=True),
    Case("soft_wide", (logits(9, 301), np.abs(logits(9, 301, seed=1)) / 256.0), large=True),
    *(
        Case(f"width_{n}", (logits(3, n), np.asarray([n - 1, 0, n // 2])), _ROWS)
        for n in (2, 8, 17, 33, 131)
    ),
]  # fmt: skip


def ORACLE(
    logits, target, *, axis=-1, where=None, weight=None, ignore_index=-100, label_smoothing=0.0,
    reduction="mean", lse_square_scale=0.0, softcap=None, return_lse=False,
):  # fmt: skip
    soft = np.asarray(target).dtype.kind == "f"
    x = np.moveaxis(logits, axis, -1)
    part = np.ones(logits.shape, bool) if where is None else np.broadcast_to(where, logits.shape)
    part = np.moveaxis(part, axis, -1)
    lead, num_classes = x.shape[:-1], x.shape[-1]
    w = np.ones(num_classes) if weight is None else weight
    t = np.moveaxis(target, axis, -1) if soft else np.asarray(target)
    loss, square, lse, count, squares = (np.zeros(lead, np.longdouble) for _ in range(5))
    for row in np.ndindex(lead):
        label = None if soft else int(t[row])
        probabilities = t[row] if soft else (np.arange(num_classes) == label).astype(float)
        cost, lse[row] = _row(x[row], part[row], probabilities, w, label_smoothing, softcap)
        if lse[row] == -np.inf or label == ignore_index:
            continue
        loss[row], square[row] = cost, lse_square_scale * lse[row] ** 2
        count[row], squares[row] = (1.0 if soft else w[label]), 1.0
    if reduction == "none":
        loss = loss + square
    elif reduction == "sum":
        loss = np.sum(loss) + np.sum(square)
    else:
        loss = _mean(loss, count) + _mean(square, squares)
    return (loss, lse) if return_lse else loss


def _row(x, part, t, w, smoothing, cap):
    y = x if cap is None else np.where(x == -np.inf, -np.inf, cap * np.tanh(x / cap))
    keep = part & (y != -np.inf)
    if not keep.any():
        return 0.0, -np.inf
    top = np.max(y[keep])
    lse = top + np.log(np.sum(np.exp(y[keep] - top))) if top != np.inf else top
    t = (1.0 - smoothing) * t + np.where(part, smoothing / max(part.sum(), 1), 0.0)
    total = np.longdouble(0.0)
    for c in range(x.size):
        if keep[c]:  # NaN takes part whatever its target, so its row is NaN
            total += 0.0 * lse if t[c] == 0 and np.isfinite(y[c]) else w[c] * t[c] * (lse - y[c])
        elif t[c] * w[c] > 0:
            total += np.inf
    return total, lse


def _mean(values, counts):
    return np.sum(values) / np.sum(counts) if np.sum(counts) else np.longdouble(0.0)


def _is_expected_log_softmax(form, case):
    if set(case.options) - {"reduction"} or case.options.get("reduction") != "none":
        return None
    x, y = case.args
    if not np.isfinite(x).all():
        return None
    hot = np.arange(x.shape[-1]) == y[..., None]
    return form(*case.args, **case.options), -np.sum(np.where(hot, am.log_softmax(x), 0), axis=-1)


def _labels_are_one_hot_targets(form, case):
    """Integer labels cost what their one-hot rows cost, example by example."""
    x, y = case.args
    if y.dtype.kind == "f" or case.options.get("axis", -1) != -1 or "ignore_index" in case.options:
        return None
    hot = (np.arange(x.shape[-1]) == y[..., None]).astype(float)
    options = {**case.options, "reduction": "none", "return_lse": False}
    options.pop("lse_square_scale", None)
    valid = y >= 0
    labels, soft = form(x, y, **options), form(x, hot, **options)
    return np.where(valid, labels, 0), np.where(valid, soft, 0)


def _shift_invariant(form, case):
    if case.options.get("softcap") is not None or "lse_square_scale" in case.options:
        return None
    if "return_lse" in case.options or not np.isfinite(case.args[0]).all():
        return None
    return form(case.args[0] + 2.5, case.args[1], **case.options), form(*case.args, **case.options)


IDENTITIES = (_is_expected_log_softmax, _labels_are_one_hot_targets, _shift_invariant)


def GOLDEN(load):
    """torch, class axis 1; a mean over nothing is 0 here and NaN there."""
    z = load("classic-cross-entropy__cross_entropy")
    for n in range(7):
        options = {
            "axis": 1,
            "label_smoothing": float(z[f"in_label_smoothing_{n}"]),
            "ignore_index": int(z[f"in_ignore_index_{n}"]),
        }
        if f"in_weight_{n}" in z:
            options["weight"] = z[f"in_weight_{n}"]
        args = (z[f"in_logits_{n}"], z[f"in_target_{n}"])
        for reduction in ("none", "mean", "sum"):
            expected = z[f"out_{reduction}_{n}"]
            nothing = reduction == "mean" and np.isnan(expected)
            case = Case(f"{n}_{reduction}", args, {**options, "reduction": reduction}, wrt=(0,))
            yield Golden(
                case,
                np.zeros(()) if nothing else expected,
                np.ones(expected.shape),
                {0: z[f"out_grad_{reduction}_{n}"]},
            )
