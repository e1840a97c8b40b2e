"""Copies of q, k and v in the layouts the micro-kernel reads, cleaned of non-finite rows.

A row of q, k or v that holds NaN or inf becomes zeros and raises its flag: zero times anything
masked stays zero, so nothing leaks, and whoever attends a flagged key is told apart later.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .attend_lanes import cast, peek, poke, size, width
from .jit import jit
from .tile import ROWS, VECTORS

__all__ = ["pack_columns", "pack_rows", "pack_strip"]

_piece = jit(cache=False, reassoc=False)


@_piece
def is_bad(row: Any, column_stride: Any, count: Any, like: Any) -> Any:
    """Whether any number of a row is NaN or infinite: x * 0 is NaN for exactly those."""
    zero = cast(0, like)
    test = zero
    for d in range(count):
        test += peek(row + d * column_stride, like) * zero
    return test != zero


@_piece
def pack_columns(
    source: Any, row: Any, col: Any, first: Any, last: Any, count: Any, dim: Any, to: Any,
    flags: Any, like: Any,
) -> Any:  # fmt: skip
    """Rows first .. last of `count` as tiles (dim, 2 registers) of columns, padded with zeros: the
    right-hand side of q k^T. Gives the number of bad rows."""
    tile, bad_rows = VECTORS * width(like), 0
    for j in range(first, last):
        place = to + ((j // tile) * tile * dim + j % tile) * size(like)
        bad = j < count and is_bad(source + j * row, col, dim, like)
        poke(flags + j, np.uint8(bad))
        bad_rows += bad
        if bad or j >= count:
            for d in range(dim):
                poke(place + d * tile * size(like), cast(0, like))
        else:
            for d in range(dim):
                poke(place + d * tile * size(like), peek(source + j * row + d * col, like))
    return bad_rows


@_piece
def pack_rows(
    source: Any, row: Any, col: Any, first: Any, last: Any, count: Any, dim: Any, wide: Any, factor: Any,
    to: Any, flags: Any, like: Any,
) -> Any:  # fmt: skip
    """`factor` times rows first .. last of `count`, padded to `wide` columns and with rows of zeros.
    Gives the number of bad rows."""
    times, bad_rows = cast(factor, like), 0
    for j in range(first, last):
        place = to + j * wide * size(like)
        bad = j < count and is_bad(source + j * row, col, dim, like)
        poke(flags + j, np.uint8(bad))
        bad_rows += bad
        kept = 0 if bad or j >= count else dim
        for d in range(kept):
            poke(place + d * size(like), peek(source + j * row + d * col, like) * times)
        for d in range(kept, wide):
            poke(place + d * size(like), cast(0, like))
    return bad_rows


@_piece
def pack_strip(
    source: Any, row: Any, col: Any, count: Any, dim: Any, factor: Any, to: Any, flags: Any, like: Any
) -> None:  # fmt: skip
    """`factor` times `count` rows (at most ROWS) side by side, (dim, ROWS): the left-hand side of a
    product."""
    times = cast(factor, like)
    for r in range(ROWS):
        bad = r < count and is_bad(source + r * row, col, dim, like)
        poke(flags + r, np.uint8(bad))
        place = to + r * size(like)
        if bad or r >= count:
            for d in range(dim):
                poke(place + d * ROWS * size(like), cast(0, like))
        else:
            for d in range(dim):
                poke(place + d * ROWS * size(like), peek(source + r * row + d * col, like) * times)
