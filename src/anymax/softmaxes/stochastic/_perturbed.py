"""Perturbed logits: sums with noise, noise given who won, and straight-through values."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax.primitives._masked import kept, select
from anymax.primitives._selection import one_hot
from anymax.primitives.row_softmax import row_logsumexp
from anymax.softmaxes._operands import Operands, common_shape, operands, spread, summed


def perturbed(
    function: str, logits: Array, gumbel: Array, where: Array | None, temperature: Any = 1.0
) -> tuple[Operands, Array, Array]:
    _array.required(function, logits=logits, gumbel=gumbel)
    if temperature is None:
        raise TypeError(f"{function}: temperature is None; a positive number or an array fits")
    ops = operands(function, logits=logits, gumbel=gumbel, temperature=temperature)
    shape = common_shape(function, logits=logits, gumbel=gumbel)
    _array.check_mask(function, "where", where, shape, "logits")
    x, g = (spread(ops.xp, a, shape) for a in ops.arrays[:2])
    return ops, *summed(ops.xp, where, x, g)


def straight_through(xp: Any, hot: Array, soft: Array) -> Array:
    """The value of `hot`, the gradient of `soft`; NaN where `soft` has it."""
    return xp.astype(hot, soft.dtype) + (soft - stop_gradient(soft))


def drawn(xp: Any, function: str, index: Array, x: Array, axis: int) -> Array:
    """Where the drawn class is, after `index` was found to fit."""
    if x.ndim == 0:
        raise ValueError(f"{function}: logits have no axis; (..., C) is needed")
    rest = tuple(n for a, n in enumerate(x.shape) if a != axis)
    if tuple(index.shape) != rest:
        raise ValueError(
            f"{function}: index has shape {_array.shape_text(index.shape)}; the shape of the "
            f"logits without their axis of classes, {_array.shape_text(rest)}, fits"
        )
    if _array.values_known(index):
        wrong = xp.any((index < 0) | (index >= x.shape[axis]))
        if _array.values_known(wrong) and bool(wrong):
            raise IndexError(f"{function}: index must name classes 0 to {x.shape[axis] - 1}")
    return one_hot(xp, _array.as_index(xp, index), x.shape[axis], axis, xp.bool)


def check_draws(function: str, e: Array, x: Array) -> None:
    if e.ndim != x.ndim + 1 or tuple(e.shape[1:]) != tuple(x.shape):
        raise ValueError(
            f"{function}: exponential has shape {_array.shape_text(e.shape)}; (n, ..., C) with the "
            f"logits' shape {_array.shape_text(x.shape)} after n is needed"
        )


def conditional_noise(xp: Any, x: Array, hot: Array, e: Array, axis: int) -> Array:
    """Gumbel noise given that `hot` won, as perturbed logits minus logits; -inf where masked."""
    keep = kept(xp, x, None)
    total = xp.expand_dims(row_logsumexp(x, None, axis=(axis,), scale=1.0), axis=axis)
    live = total != -xp.inf
    x, total = select(xp, keep, x), select(xp, live, total)
    # A draw of 0 has probability 0 in theory only; its logarithm would be infinite.
    tiny = float(xp.finfo(e.dtype).smallest_normal)
    log_e = xp.log(xp.where(keep & (e < tiny), xp.full_like(e, tiny), select(xp, keep, e, 1.0)))
    top = xp.sum(select(xp, hot, log_e), axis=axis + 1, keepdims=True)
    lost = -xp.logaddexp(log_e - x, top - total)
    return select(xp, keep, xp.where(hot, total - log_e, lost) - x, -xp.inf)
