"""Derivatives of gathers: whatever was read from a position sends its cotangent back to it.

Any gather is differentiated by gathering the positions 0, 1, 2, ... the same way and adding
cotangents up there. So each kind of index the library takes has the right gradient, repeated
elements included.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import array_api_compat as compat

from anymax._tape.rules import rule

__all__ = ["positions", "scatter"]

_BLOCK = 1 << 22  # comparisons held at once where the library has no scatter


def positions(xp: Any, x: Any) -> Any:
    """Return 0, 1, 2, ... in the shape of `x`, on its device."""
    count = compat.size(x)
    return xp.reshape(xp.arange(count, dtype=xp.int64, device=compat.device(x)), x.shape)


def scatter(xp: Any, g: Any, where: Any, x: Any) -> Any:
    """Add each element of `g` up at its position `where` of an array shaped like `x`."""
    count = compat.size(x)
    flat, index = xp.reshape(g, (-1,)), xp.reshape(where, (-1,))
    if (compat.is_numpy_array(x) or compat.is_cupy_array(x)) and x.dtype.itemsize <= 8:
        # Sums in float64; one pass, in the order of the elements (on a GPU in any order).
        total = xp.bincount(index, weights=flat, minlength=count)
        return xp.reshape(xp.astype(total, x.dtype, copy=False), x.shape)
    return xp.reshape(_compare_and_sum(xp, flat, index, count), x.shape)


def _compare_and_sum(xp: Any, flat: Any, index: Any, count: int) -> Any:
    """Scatter with the standard alone: compare each position with each index, in blocks."""
    cells = xp.arange(count, dtype=index.dtype, device=compat.device(index))
    total = xp.zeros((count,), dtype=flat.dtype, device=compat.device(flat))
    rows = max(1, _BLOCK // max(count, 1))
    for start in range(0, flat.shape[0], rows):
        piece = slice(start, min(start + rows, flat.shape[0]))
        part = xp.expand_dims(flat[piece], axis=1)
        hit = xp.expand_dims(index[piece], axis=1) == cells
        total = total + xp.sum(xp.where(hit, part, xp.zeros_like(part)), axis=0)
    return total


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or (isinstance(part, (int, slice, EllipsisType)) and not isinstance(part, bool))
        for part in parts
    )


@rule("__getitem__")
def _getitem(xp: Any, out: Any, x: Any, index: Any) -> tuple[Any, None]:
    def basic(g: Any) -> Any:
        whole = xp.zeros_like(x)
        # Assignment knows no new axes.
        parts = index if isinstance(index, tuple) else (index,)
        key = tuple(part for part in parts if part is not None)
        whole[key] = xp.reshape(g, whole[key].shape)
        return whole

    def gathered(g: Any) -> Any:
        return scatter(xp, g, positions(xp, x)[index], x)

    return (basic if _is_basic(index) else gathered), None


@rule("take")
def _take(
    xp: Any, out: Any, x: Any, indices: Any, /, *, axis: int | None = None
) -> tuple[Any, None]:
    return lambda g: scatter(xp, g, xp.take(positions(xp, x), indices, axis=axis), x), None


@rule("take_along_axis")
def _take_along_axis(
    xp: Any, out: Any, x: Any, indices: Any, /, *, axis: int = -1
) -> tuple[Any, None]:
    def pull(g: Any) -> Any:
        return scatter(xp, g, xp.take_along_axis(positions(xp, x), indices, axis=axis), x)

    return pull, None


@rule("linalg.diagonal")
def _diagonal(xp: Any, out: Any, x: Any, /, *, offset: int = 0) -> tuple[Any]:
    return (lambda g: scatter(xp, g, xp.linalg.diagonal(positions(xp, x), offset=offset), x),)
