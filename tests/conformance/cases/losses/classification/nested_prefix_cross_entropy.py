"""`nested_prefix_cross_entropy`: classifier losses on nested prefixes of the features."""

import numpy as np

import anymax as am
from anymax.testing import Case, logits

_H = logits(6, 4, seed=3).reshape(2, 3, 4) / 2.0
_W = logits(5, 4, seed=4) / 2.0
_Y = np.asarray([[0, 4, 2], [3, -100, 1]])
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_ROWS = {"reduction": "none"}


def _edges():
    """NaN: in a state, in an ignored one, in one masked altogether, in a class that is masked, and
    in features beyond the last width; large logits."""
    h, w, where = _H.reshape(6, 4).copy(), _W.copy(), np.ones((6, 5), bool)
    h[0, 1] = h[2, 0] = h[3, 2] = np.nan
    h[:, 3], h[4] = np.inf, [256, -128, 64, 0]
    w[3, 1] = np.nan
    where[:, 3] = where[3] = False
    y = np.asarray([0, 1, -100, 2, 4, 1])
    return Case("edges", (h, w, y), {"where": where, "widths": (1, 3), **_ROWS}, compiled=True,
                condition=4.0)  # fmt: skip


CASES = [
    _edges(),
    Case("mean", (_H, _W, _Y), {"widths": (1, 2, 4)}, smooth=True, compiled=True, condition=2.0),
    Case("weights", (_H, _W, _Y), {"widths": (2, 2, 3), "weight": _WEIGHT, "reduction": "sum",
                                   "width_weight": np.asarray([0.5, 0.25, 2.0])},
         wrt=(0, 1, "width_weight"), smooth=True, condition=2.0),
    Case("hopeless", (_H, _W, _Y), {"widths": (2, 4), "where": np.arange(5) != 4, **_ROWS},
         wrt=(), condition=2.0),
    Case("one_state", (_H[0, 0], _W, np.asarray(2)), {"widths": (4,)}, condition=2.0),
    Case("no_row", (np.zeros((0, 4)), _W, np.zeros(0, int)), {"widths": (1, 4)}),
    Case("large", (logits(70, 16, seed=5) / 4.0, logits(300, 16, seed=6) / 4.0,
                   np.arange(70) * 7 % 300), {"widths": (4, 8, 16)}, large=True, condition=4.0),
]  # fmt: skip


def ORACLE(
    hidden, w, target, *, widths, width_weight=None, where=None, weight=None, ignore_index=-100,
    reduction="mean",
):  # fmt: skip
    a = (
        np.full(len(widths), 1 / np.longdouble(len(widths)))
        if width_weight is None
        else width_weight
    )
    hidden, w = hidden[..., : widths[-1]], w[:, : widths[-1]]
    bad = ~np.isfinite(hidden).all(-1)[..., None] | ~np.isfinite(w).all(-1)
    keep = np.broadcast_to(True if where is None else where, bad.shape)
    live = keep.any(-1) & (target != ignore_index)
    y = np.where(live, target, 0)
    loss = np.zeros(target.shape, np.longdouble)
    for d, factor in zip(widths, a, strict=True):
        x = np.where(bad, np.nan, np.sum(hidden[..., None, :d] * w[:, :d], axis=-1))
        x = np.where(keep, x, 0)
        top = np.max(np.where(keep, x, -np.inf), axis=-1, keepdims=True)
        top = np.where(top == -np.inf, 0, top)
        s = np.sum(np.where(keep, np.exp(np.where(keep, x - top, 0)), 0), axis=-1)
        at = np.take_along_axis(np.where(keep, x - top, -np.inf), y[..., None], axis=-1)[..., 0]
        loss = loss + np.where(live, factor * (np.log(np.where(s == 0, 1, s)) - at), 0)
    each = np.where(live, 1 if weight is None else weight[y], 0)
    loss = np.where(live, loss * each, 0)
    if reduction == "none":
        return loss
    return np.sum(loss) / (each.sum() if reduction == "mean" and each.sum() else 1)


def _sum_of_cross_entropies(form, case):
    """The weighted sum of the cross entropies of the prefixes, each with a product of its own."""
    h, w, y = case.args
    options = dict(case.options)
    widths, a = options.pop("widths"), options.pop("width_weight", None)
    if not (np.isfinite(h).all() and np.isfinite(w).all()):
        return None
    a = np.full(len(widths), 1 / len(widths)) if a is None else a
    each = [am.cross_entropy(h[..., :d] @ w[:, :d].T, y, **options) for d in widths]
    return form(*case.args, **case.options), sum(f * e for f, e in zip(a, each, strict=True))


def _full_width_is_linear_cross_entropy(form, case):
    options = {**case.options, "widths": (case.args[1].shape[1],)}
    options.pop("width_weight", None)
    got = form(*case.args, **options)
    del options["widths"]
    return got, am.linear_cross_entropy(*case.args, **options)


def DRAW(rng):
    n, v, d = (int(m) for m in rng.integers(1, 7, size=3))
    h, w = rng.normal(size=(n, d)), rng.normal(size=(v, d))
    widths = tuple(sorted({int(k) for k in rng.integers(1, d + 1, size=3)}))
    return Case("drawn", (h, w, rng.integers(0, v, size=n)), {"widths": widths}, condition=4.0)


INTEGERS = (0, 1)
IDENTITIES = (_sum_of_cross_entropies, _full_width_is_linear_cross_entropy)
