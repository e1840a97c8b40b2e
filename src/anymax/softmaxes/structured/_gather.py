"""Gathers by integer arrays of any shape, and the checks of those integers."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array


def rows(xp: Any, table: Array, index: Array) -> Array:
    """``table[index]``: rows of a table (N, ...) for an index of any shape."""
    shape = (*index.shape, *table.shape[1:])
    dask = _array.library(index) == "dask"
    if dask and 0 in index.shape:  # it splits no axis of size 0
        return xp.zeros(shape, dtype=table.dtype)
    flat = xp.reshape(_array.as_index(xp, index), (-1,))
    found = table[flat] if dask else xp.take(table, flat, axis=0)  # its take wants known numbers
    return xp.reshape(found, shape)


def columns(xp: Any, x: Array, index: Array) -> Array:
    """``x[..., index]`` for an index (V,)."""
    index = _array.as_index(xp, index)
    if _array.library(index) == "dask":
        return x[..., index]
    return xp.take(x, index, axis=-1)


def picked(xp: Any, x: Array, index: Array) -> Array:
    """One element of each row: ``x[..., index]`` for an index (...) of the shape of the rows."""
    index = _array.as_index(xp, index)[..., None]
    if _array.library(index) == "dask":  # has no take_along_axis
        hot = index == _array.arange(xp, x.shape[-1], x)
        return xp.sum(xp.where(hot, x, xp.zeros_like(x)), axis=-1)
    return xp.take_along_axis(x, index, axis=-1)[..., 0]


def check_index(xp: Any, function: str, name: str, index: Array, size: int, what: str) -> None:
    """Complain unless `index` holds integers in [0, size), where its values can be looked at."""
    if _array.is_scalar(index) or not _array.is_integer(index):
        kind = type(index).__name__ if _array.is_scalar(index) else _array.dtype_name(index)
        raise TypeError(f"{function}: {name} is {kind}; an integer array fits")
    if not _array.values_known(index) or 0 in index.shape:
        return
    low, high = xp.min(index), xp.max(index)
    if _array.values_known(low, high) and (int(low) < 0 or int(high) >= size):
        wrong = int(low) if int(low) < 0 else int(high)
        raise IndexError(
            f"{function}: {name} holds {wrong}, but there are {size} {what}; "
            + (f"0 to {size - 1} fit" if size else "an empty array fits")
        )
