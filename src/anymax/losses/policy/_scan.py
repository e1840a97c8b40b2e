"""Linear recurrences that run backwards in time, in log2(T) passes of plain array code."""

from __future__ import annotations

from typing import Any

from anymax._array import Array
from anymax.primitives._masked import select


def backward_scan(xp: Any, d: Array, c: Array) -> Array:
    """``y[t] = d[t] + c[t] * y[t + 1]`` along the last axis, with 0 behind its end.

    Where c is 0 nothing of the future comes in, not even NaN.
    """
    n, step = d.shape[-1], 1
    while step < n:
        live = c != 0
        d = d + select(xp, live, c * select(xp, live, earlier(xp, d, step)))
        c = c * earlier(xp, c, step)
        step *= 2
    return d


def earlier(xp: Any, x: Array, step: int = 1) -> Array:
    """``x[t + step]`` at t: the array moved to earlier times, zeros (False) behind its end."""
    if not x.shape[-1]:
        return x
    return xp.concat([x[..., step:], xp.zeros_like(x[..., :step])], axis=-1)


def upcoming(xp: Any, x: Array, marked: Array, last: Array | None = None) -> Array:
    """The value of `x` at the next marked place behind each, `last` (...) (or 0) if none comes."""
    following = earlier(xp, marked)
    value = select(xp, following, earlier(xp, x))
    through = ~following
    if last is not None:
        end = xp.cumulative_sum(xp.ones_like(x), axis=-1) == x.shape[-1]
        value = xp.where(end, last[..., None], value)
    return backward_scan(xp, value, xp.astype(through, x.dtype))


def suffix_sum(xp: Any, x: Array) -> Array:
    """Sum of each place and all behind it."""
    if not x.shape[-1]:
        return x * 1.0
    return xp.flip(xp.cumulative_sum(xp.flip(x, axis=-1), axis=-1), axis=-1)
