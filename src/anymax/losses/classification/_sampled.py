"""Logits of target classes and of sampled ones, which the losses on few of many classes share."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives._masked import nonzero, select
from anymax.softmaxes._operands import operands
from anymax.softmaxes.structured._gather import check_index, rows


class Sampled(NamedTuple):
    """Logits (B, T + S) of targets and samples, less their log q; what takes part; what is true.

    Parameters
    ----------
    keep : boolean array (B, T + S)
        False for missing targets, where ``where`` is, for accidental hits and logits of -inf.
    share : array (B, T + S)
        1 over the number of targets on theirs, 0 on samples.
    true : boolean array (B, T + S)
        The columns of targets that aren't missing.
    hopeless : boolean array (B,)
        Whether a logit of -inf belongs to a target.
    """

    xp: Any
    logits: Array
    keep: Array
    share: Array
    true: Array
    hopeless: Array
    weight: Array | None
    dtype: Any

    def finish(self, loss: Array, reduction: str) -> Array:
        """The result of per-example losses (B,)."""
        xp = self.xp
        live = xp.any(self.keep, axis=-1) & xp.any(self.true, axis=-1)
        y = reduced(xp, loss, reduction, live=live, weight=self.weight)
        return _array.cast(xp, y, self.dtype)


def sampled_logits(
    function: str, x: Array, w: Array, target: Array, sampled: Array, *, bias: Array | None,
    target_log_q: Array | None, sampled_log_q: Array | None, remove_accidental_hits: bool,
    where: Array | None, weight: Array | None, reduction: str,
) -> Sampled:  # fmt: skip
    """Check the arguments of a sampled loss and compute the logits that it needs."""
    check_reduction(function, reduction)
    _array.required(function, x=x, w=w, target=target, sampled=sampled)
    floats = {
        "x": x, "w": w, "bias": bias, "target_log_q": target_log_q,
        "sampled_log_q": sampled_log_q, "weight": weight,
    }  # fmt: skip
    _array.namespace(function, **floats, target=target, sampled=sampled, where=where)
    _check(function, floats, target, sampled)
    ops = operands(function, **floats)
    xp, (x, w, bias, target_log_q, sampled_log_q, weight) = ops.xp, ops.arrays
    target, there = _targets(xp, function, target, w.shape[0])
    check_index(xp, function, "sampled", sampled, w.shape[0], "classes")
    sampled = xp.asarray(_array.as_index(xp, sampled))
    samples = sampled if sampled.ndim == 2 else sampled[None, :]
    num_rows, num_true = target.shape
    full = (num_rows, num_true + samples.shape[1])
    _array.check_mask(function, "where", where, full, "the logits of targets and samples")
    t = _logits(xp, x, w, bias, target)
    s = _logits(xp, x, w, bias, sampled)
    if target_log_q is not None:
        log_q = xp.reshape(target_log_q, target.shape)
        t = t - select(xp, there, log_q)
    if sampled_log_q is not None:
        s = s - sampled_log_q
    keep = xp.ones_like(samples) == 1
    if remove_accidental_hits:
        hit = there[:, :, None] & (target[:, :, None] == samples[:, None, :])
        keep = ~xp.any(hit, axis=1)
    both = xp.concat([there, xp.broadcast_to(keep, s.shape)], axis=-1)
    y = xp.concat([t, s], axis=-1)
    if where is not None:
        both = both & where
    gone = (y == -xp.inf) & both
    both = ~gone & both
    share = xp.astype(there, y.dtype)
    share = share / nonzero(xp, xp.sum(share, axis=-1, keepdims=True))
    if weight is not None:
        weight = xp.sum(rows(xp, weight, target) * share, axis=-1)
    none = xp.zeros_like(s)
    true = xp.concat([there, none != 0], axis=-1)
    hopeless = xp.any(gone & true, axis=-1)
    share = xp.concat([share, none], axis=-1)
    return Sampled(xp, select(xp, both, y), both, share, true, hopeless, weight, ops.dtype)


def _check(function: str, floats: dict, target: Array, sampled: Array) -> None:
    for name in ("x", "w"):
        if floats[name].ndim != 2:
            shape = _array.shape_text(floats[name].shape)
            wanted = {"x": "(B, D)", "w": "(V, D)"}[name]
            raise ValueError(f"{function}: {name} has shape {shape}; {wanted} is needed")
    (b, d), (v, features) = floats["x"].shape, floats["w"].shape
    if d != features:
        raise ValueError(f"{function}: x has {d} features but w has {features}; they must match")
    if target.ndim not in (1, 2) or target.shape[0] != b:
        _refuse(function, "target", target, f"({b},) or ({b}, T)")
    if sampled.ndim not in (1, 2) or (sampled.ndim == 2 and sampled.shape[0] != b):
        _refuse(function, "sampled", sampled, f"(S,) or ({b}, S)")
    shapes = {
        "bias": (v,), "weight": (v,), "target_log_q": target.shape, "sampled_log_q": sampled.shape,
    }  # fmt: skip
    for name, shape in shapes.items():
        x = floats[name]
        if x is not None and tuple(x.shape) != tuple(shape):
            _refuse(function, name, x, _array.shape_text(shape))


def _refuse(function: str, name: str, x: Array, wanted: str) -> None:
    raise ValueError(f"{function}: {name} has shape {_array.shape_text(x.shape)}; {wanted} fits")


def _targets(xp: Any, function: str, target: Array, num_classes: int) -> tuple[Array, Array]:
    """Targets (B, T), 0 for missing ones, and which are there."""
    if not _array.is_integer(target):
        said = _array.dtype_name(target)
        raise TypeError(f"{function}: target has dtype {said}; an integer dtype fits")
    target = xp.asarray(_array.as_index(xp, target))
    target = target[:, None] if target.ndim == 1 else target
    there = target != -1
    target = xp.where(there, target, xp.zeros_like(target))
    check_index(xp, function, "target", target, num_classes, "classes")
    return target, there


def _logits(xp: Any, x: Array, w: Array, bias: Array | None, index: Array) -> Array:
    """``x @ w[index].T + bias[index]`` for an index (K,) or (B, K).

    Rows that are not finite give NaN by selection, so that they don't reach, as 0 * NaN, the
    gradients of others; a bias of -inf masks for certain.
    """
    found = rows(xp, w, index)
    good_x, good_w = (xp.all(xp.isfinite(a), axis=-1) for a in (x, found))
    x, found = select(xp, good_x[:, None], x), select(xp, good_w[..., None], found)
    if index.ndim == 1:
        y = xp.matmul(x, xp.matrix_transpose(found))
    else:
        y = xp.sum(x[:, None, :] * found, axis=-1)
    y = select(xp, good_x[:, None] & good_w, y, xp.nan)
    if bias is None:
        return y
    b = rows(xp, bias, index)
    some = b != -xp.inf
    return select(xp, some, y + select(xp, some, b), -xp.inf)
