"""Derivatives of reductions, running reductions and sorting."""

from __future__ import annotations

import math
from typing import Any

from anymax._tape.rules import axes_of, rule, spread

__all__: list[str] = []

Axis = int | tuple[int, ...] | None


def _count(x: Any, axis: Axis) -> int:
    return math.prod(x.shape[a] for a in axes_of(axis, x.ndim))


@rule("sum")
def _sum(
    xp: Any, out: Any, x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False
) -> tuple[Any]:
    return (lambda g: xp.astype(spread(xp, g, x, axis, keepdims), x.dtype, copy=False),)


@rule("mean")
def _mean(xp: Any, out: Any, x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> tuple[Any]:
    return (lambda g: spread(xp, g / _count(x, axis), x, axis, keepdims),)


@rule("max", "min")
def _extreme(
    xp: Any, out: Any, x: Any, /, *, axis: Axis = None, keepdims: bool = False
) -> tuple[Any]:
    def pull(g: Any) -> Any:
        # Ties share evenly, as torch's amax and JAX do.
        hit = xp.astype(x == spread(xp, out, x, axis, keepdims), x.dtype)
        ties = xp.sum(hit, axis=axis, keepdims=True)
        return spread(xp, g, x, axis, keepdims) * (hit / ties)

    return (pull,)


def _centred(xp: Any, x: Any, axis: Axis, correction: float) -> Any:
    centre = xp.mean(x, axis=axis, keepdims=True)
    return (x - centre) / (_count(x, axis) - correction)


@rule("var")
def _var(
    xp: Any,
    out: Any,
    x: Any,
    /,
    *,
    axis: Axis = None,
    correction: float = 0.0,
    keepdims: bool = False,
) -> tuple[Any]:
    return (lambda g: spread(xp, g, x, axis, keepdims) * (2 * _centred(xp, x, axis, correction)),)


@rule("std")
def _std(
    xp: Any,
    out: Any,
    x: Any,
    /,
    *,
    axis: Axis = None,
    correction: float = 0.0,
    keepdims: bool = False,
) -> tuple[Any]:
    def pull(g: Any) -> Any:
        flat = out == 0  # equal values: a corner, whose middle slope is 0
        safe = xp.where(flat, xp.ones_like(out), out)
        slope = xp.where(flat, xp.zeros_like(g), g / safe)
        return spread(xp, slope, x, axis, keepdims) * _centred(xp, x, axis, correction)

    return (pull,)


def _before(xp: Any, x: Any) -> Any:
    """Return, along the last axis, the product of all earlier elements."""
    return xp.cumulative_prod(x, axis=-1, include_initial=True)[..., :-1]


@rule("prod")
def _prod(
    xp: Any, out: Any, x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False
) -> tuple[Any]:
    def pull(g: Any) -> Any:
        # Products of the others, not out / x: that one is NaN at zeros.
        reduced = axes_of(axis, x.ndim)
        order = (*(a for a in range(x.ndim) if a not in reduced), *reduced)
        moved = xp.permute_dims(x, order)
        rows = xp.reshape(moved, (*moved.shape[: x.ndim - len(reduced)], _count(x, axis)))
        after = xp.flip(_before(xp, xp.flip(rows, axis=-1)), axis=-1)
        others = xp.reshape(_before(xp, rows) * after, moved.shape)
        others = xp.permute_dims(others, tuple(order.index(a) for a in range(x.ndim)))
        return xp.astype(spread(xp, g, x, axis, keepdims) * others, x.dtype, copy=False)

    return (pull,)


def _drop_initial(xp: Any, g: Any, axis: int, include_initial: bool) -> Any:
    if not include_initial:
        return g
    return g[(slice(None),) * axis + (slice(1, None), ...)]


@rule("cumulative_sum")
def _cumulative_sum(
    xp: Any,
    out: Any,
    x: Any,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> tuple[Any]:
    def pull(g: Any) -> Any:
        (along,) = axes_of(axis, x.ndim)
        g = xp.flip(_drop_initial(xp, g, along, include_initial), axis=along)
        return xp.astype(xp.flip(xp.cumulative_sum(g, axis=along), axis=along), x.dtype, copy=False)

    return (pull,)


@rule("cumulative_prod")
def _cumulative_prod(
    xp: Any,
    out: Any,
    x: Any,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> tuple[Any]:
    def pull(g: Any) -> Any:
        (along,) = axes_of(axis, x.ndim)
        last = xp.moveaxis(_drop_initial(xp, g, along, include_initial), along, -1)
        rows = xp.moveaxis(x, along, -1)
        grad = _before(xp, rows) * _later_products(xp, rows, last)
        return xp.astype(xp.moveaxis(grad, -1, along), x.dtype, copy=False)

    return (pull,)


def _later_products(xp: Any, x: Any, g: Any) -> Any:
    """Solve s_i = g_i + x_(i+1) s_(i+1) along the last axis.

    Doubling steps of an associative scan: log2(n) passes, no division, so zeros in `x` are fine.
    """
    n = x.shape[-1]
    factor = xp.concat([x[..., 1:], xp.zeros_like(x[..., :1])], axis=-1)
    total, step = g, 1
    while step < n:
        pad = xp.zeros_like(total[..., :step])
        total = total + factor * xp.concat([total[..., step:], pad], axis=-1)
        factor = factor * xp.concat([factor[..., step:], pad], axis=-1)
        step *= 2
    return total


@rule("sort")
def _sort(
    xp: Any, out: Any, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> tuple[Any]:
    def pull(g: Any) -> Any:
        order = xp.argsort(x, axis=axis, descending=descending, stable=stable)
        return xp.take_along_axis(g, xp.argsort(order, axis=axis), axis=axis)

    return (pull,)
