"""Copies of q, k and v in the layouts the micro-kernel reads, cleaned of non-finite rows.

A row of q, k or v that holds NaN or inf becomes zeros and raises its flag: zero times anything
masked stays zero, so nothing leaks, and whoever attends a flagged key is told apart later.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .attend_lanes import (
    cast,
    fma,
    load,
    peek,
    poke,
    size,
    spread,
    store,
    total,
    transpose,
    width,
)
from .jit import jit
from .tile import ROWS, VECTORS

__all__ = ["LEFT", "copy_row", "pack_rows", "turn_columns", "turn_strip"]

LEFT = 16  # stride of a strip along its inner dimension: its rows lie within a cache line or two

_piece = jit(cache=False, reassoc=False)


@_piece
def is_bad(row: Any, column_stride: Any, count: Any, like: Any) -> Any:
    """Whether any number of a row is NaN or infinite: x * 0 is NaN for exactly those."""
    zero, tests, whole = cast(0, like), spread(0, like), 0
    if column_stride == size(like):
        whole = count // width(like) * width(like)
        for d in range(0, whole, width(like)):
            tests = fma(load(row + d * size(like), like), spread(0, like), tests)
    test = total(tests)
    for d in range(whole, count):
        test += peek(row + d * column_stride, like) * zero
    return test != zero


@_piece
def copy_row(source: Any, stride: Any, count: Any, factor: Any, to: Any, like: Any) -> None:
    """`factor` times `count` numbers, to numbers side by side."""
    s, whole = size(like), 0
    if stride == s:
        whole = count // width(like) * width(like)
        times = spread(factor, like)
        for d in range(0, whole, width(like)):
            store(to + d * s, load(source + d * s, like) * times)
    for d in range(whole, count):
        poke(to + d * s, peek(source + d * stride, like) * cast(factor, like))


@_piece
def pack_rows(
    source: Any, row: Any, col: Any, first: Any, last: Any, count: Any, dim: Any, wide: Any,
    factor: Any, to: Any, flags: Any, like: Any,
) -> Any:  # fmt: skip
    """`factor` times rows first .. last of `count`, padded to `wide` columns and with rows of zeros;
    `to` and `flags` begin with row `first`. Gives the number of bad rows."""
    bad_rows = 0
    for j in range(first, last):
        place = to + (j - first) * wide * size(like)
        bad = j < count and is_bad(source + j * row, col, dim, like)
        poke(flags + (j - first), np.uint8(bad))
        bad_rows += bad
        kept = 0 if bad or j >= count else dim
        copy_row(source + j * row, col, kept, factor, place, like)
        for d in range(kept, wide):
            poke(place + d * size(like), cast(0, like))
    return bad_rows


@_piece
def turn_columns(rows: Any, wide: Any, to: Any, like: Any) -> None:
    """Packed rows of one tile of keys as (wide, 2 registers): the right-hand side of q k^T."""
    w, s = width(like), size(like)
    for part in range(VECTORS):
        for d in range(0, wide, w):
            transpose(
                rows + (part * w * wide + d) * s, wide * s, to + (d * VECTORS + part) * w * s,
                VECTORS * w * s, like,
            )  # fmt: skip


@_piece
def turn_strip(rows: Any, wide: Any, to: Any, like: Any) -> None:
    """LEFT packed rows (those past ROWS are not used) as (wide, LEFT): the left-hand side."""
    w, s = width(like), size(like)
    for part in range(0, LEFT, w):
        if part < ROWS:
            for d in range(0, wide, w):
                transpose(
                    rows + (part * wide + d) * s, wide * s, to + (d * LEFT + part) * s, LEFT * s, like
                )  # fmt: skip
