"""`vq_cross_entropy`: cross entropy over tokens that share the logits of codes."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(41)
_CODE = np.asarray([4, 0, 2, 2, 0, 4, 4, 1, 2])  # of five codes one has no token
_COUNTS = np.asarray([2, 1, 3, 0, 3])
_H, _C = _RNG.normal(size=(2, 3, 3)), _RNG.normal(size=(5, 3))
_Y = np.asarray([[0, 8, 7], [-100, 3, 5]])
_BIAS, _WEIGHT = _RNG.normal(size=9), np.asarray([1, 0.5, 2, 0.25, 1.5, 1, 0, 3, 1])


def _edges():
    """States of NaN, live and ignored, large logits; NaN in codes whose tokens don't take part."""
    where, bias, h, codebook = np.ones(9, bool), _BIAS.copy(), _RNG.normal(size=(5, 3)), _C.copy()
    where[7] = False
    bias[3] = -np.inf
    h[1, 0], h[2], h[4] = np.nan, 512.0, np.nan
    codebook[[1, 3]] = np.nan
    args = (h, codebook, _CODE, np.asarray([0, 2, 8, 5, -100]))
    return Case("edges", args, {"where": where, "bias": bias, "reduction": "none"},
                wrt=(0, 1, "bias"), compiled=True, condition=8.0)  # fmt: skip


CASES = [
    _edges(),
    Case("mean", (_H, _C, _CODE, _Y), smooth=True, compiled=True, condition=2.0),
    Case("weighted", (_H, _C, _CODE, _Y), {"weight": _WEIGHT, "bias": _BIAS}, wrt=(0, 1, "bias"),
         smooth=True, condition=2.0),
    Case("sum", (_H, _C, _CODE, _Y), {"counts": _COUNTS, "reduction": "sum"}, condition=2.0),
    Case("masked_target", (_H, _C, _CODE, _Y), {"where": np.arange(9) != 7, "reduction": "none"},
         wrt=(), condition=2.0),
    Case("nothing", (_H, _C, _CODE, _Y), {"where": np.zeros(9, bool)}),
    Case("one_state", (_H[0, 0], _C, _CODE, np.asarray(2)), condition=2.0),
    Case("large", (_RNG.normal(size=(40, 3)), _RNG.normal(size=(60, 3)), np.arange(900) * 7 % 60,
                   np.arange(40) * 20), large=True, condition=4.0),
]  # fmt: skip


def ORACLE(
    h, codebook, assignment, target, *, counts=None, bias=None, where=None, weight=None,
    ignore_index=-100, reduction="mean",
):  # fmt: skip
    v = assignment.size
    bias = np.zeros(v) if bias is None else bias
    keep = np.ones(v, bool) & (True if where is None else where) & (bias != -np.inf)
    x = np.sum(h[..., None, :] * codebook[assignment], axis=-1)
    x = np.where(keep, x + np.where(keep, bias, 0), 0)
    top = np.max(x, axis=-1, keepdims=True, where=keep, initial=-np.inf)
    top = np.where(top == -np.inf, 0, top)
    s = np.sum(np.where(keep, np.exp(np.where(keep, x - top, 0)), 0), axis=-1)
    valid = (target != ignore_index) & (s != 0)
    y = np.where(target == ignore_index, 0, target)
    picked = np.take_along_axis(x, y[..., None], axis=-1)[..., 0] - top[..., 0]
    loss = np.where(keep[y], np.log(np.where(s == 0, 1, s)) - picked, np.inf)
    w = np.where(valid, 1 if weight is None else weight[y], 0)
    loss = np.where(w == 0, 0, np.where(w == 0, 0, loss) * w)
    if reduction == "none":
        return loss
    total = np.sum(loss)
    return total if reduction == "sum" or not w.sum() else total / w.sum()


def DRAW(rng):
    k, v, features, n = (int(m) for m in rng.integers(1, 8, size=4))
    h, codebook = rng.normal(size=(n, features)), rng.normal(size=(k, features))
    args = (h, codebook, rng.integers(0, k, size=v), rng.integers(0, v, size=n))
    return Case("drawn", args, condition=4.0)


def _log_probability_of_the_target(form, case):
    h, codebook, assignment, y = case.args
    if case.options.get("reduction") != "none":
        return None
    bias, where = case.options.get("bias"), case.options.get("where")
    log_p = am.log_vq_softmax(h, codebook, assignment, bias=bias, where=where)
    picked = np.take_along_axis(log_p, np.maximum(y, 0)[..., None], axis=-1)[..., 0]
    return form(*case.args, **case.options), np.where(y < 0, 0, -picked)


def _a_dense_layer(form, case):
    """A dense layer whose weight is the codes of the tokens."""
    h, codebook, assignment, y = case.args
    if not np.isfinite(codebook).all():
        return None
    options = {k: v for k, v in case.options.items() if k != "counts"}
    dense = am.linear_cross_entropy(h, codebook[assignment], y, **options)
    return form(*case.args, **case.options), dense


INTEGERS = (0, 1)
IDENTITIES = (_log_probability_of_the_target, _a_dense_layer)
