"""Exactly the k largest of each row, lowest index first, in plain array-API code.

No shape depends on values: a selection is a mask of the shape of the row, so that it can be traced,
mapped and compiled.  Nothing is differentiable here; the selection is a constant.
"""

from __future__ import annotations

import math
from typing import Any

from anymax._array import Array, arange, cast, dtype_name, stop_gradient, widen


def largest(xp: Any, x: Array, keep: Array, k: int, axis: tuple[int, ...]) -> Array:
    """Mask of the `k` largest kept entries along `axis`, all kept ones where there are fewer.

    Ties go to the lowest index (in the order of the axes); NaN counts as largest, as +inf does.

    Parameters
    ----------
    x : array
        Floating scores.
    keep : boolean array, of the shape of `x`
        Entries that may be chosen; an entry of -inf never is.
    k : int
        How many.
    axis : sorted tuple of non-negative ints
        Axes that make a row.
    """
    key, back = _rows(xp, _key(xp, x, keep), axis)
    n = key.shape[-1]
    if k <= 0 or n == 0:
        return xp.zeros_like(keep)
    chosen = key != -xp.inf
    if k < n:
        least = xp.sort(key, axis=-1)[..., n - k : n - k + 1]
        above, tied = key > least, key == least
        count = xp.astype(above, _index_dtype(xp, key))
        room = k - xp.sum(count, axis=-1, keepdims=True)
        place = xp.cumulative_sum(xp.astype(tied, count.dtype), axis=-1)
        chosen = chosen & (above | (tied & (place <= room)))
    return back(chosen)


def ordered(xp: Any, x: Array, keep: Array, k: int, axis: int) -> Array:
    """Indices of the `k` largest kept entries, largest first, as a last axis; -1 for missing ones.

    Ties go to the lowest index; NaN counts as largest.
    """
    key, _ = _rows(xp, _key(xp, x, keep), (axis,))
    order = xp.argsort(-key, axis=-1, stable=True)[..., : min(k, key.shape[-1])]
    count = xp.sum(xp.astype(key != -xp.inf, order.dtype), axis=-1, keepdims=True)
    place = xp.cumulative_sum(xp.ones_like(order), axis=-1)
    return xp.where(place <= count, order, xp.full_like(order, -1))


def _key(xp: Any, x: Array, keep: Array) -> Array:
    """What is compared: NaN becomes +inf, entries that may not be chosen -inf."""
    x = widen(xp, stop_gradient(x))  # halves sort slowly, or not at all, in some libraries
    x = xp.where(xp.isnan(x), xp.full_like(x, xp.inf), x)
    return xp.where(keep, x, xp.full_like(x, -xp.inf))


def _rows(xp: Any, x: Array, axis: tuple[int, ...]) -> tuple[Array, Any]:
    """`x` with `axis` merged into a last axis, and what takes such an array back."""
    if axis == (x.ndim - 1,):
        return x, lambda y: y
    rest = tuple(a for a in range(x.ndim) if a not in axis)
    order = (*rest, *axis)
    shape = tuple(x.shape[a] for a in order)
    rows = xp.reshape(
        xp.permute_dims(x, order), (*shape[: len(rest)], math.prod(shape[len(rest) :]))
    )

    def back(y: Array) -> Array:
        places = tuple(order.index(a) for a in range(len(order)))
        return xp.permute_dims(xp.reshape(y, shape), places)

    return rows, back


def _index_dtype(xp: Any, x: Array) -> Any:
    return xp.int32 if dtype_name(x) == "float32" else xp.int64


def one_hot(xp: Any, index: Array, n: int, axis: int, dtype: Any) -> Array:
    """One at `index` along a new axis of size `n`, zero elsewhere; a negative index gives zeros."""
    hot = arange(xp, n, index, dtype=index.dtype) == index[..., None]
    return cast(xp, xp.moveaxis(hot, -1, axis) if axis != -1 else hot, dtype)
