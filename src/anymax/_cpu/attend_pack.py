"""Copies of q, k and v in the layouts the micro-kernel reads, cleaned of non-finite rows.

A row of q, k or v that holds NaN or inf becomes zeros and raises its flag: zero times anything
masked stays zero, so nothing leaks, and whoever attends a flagged key is told apart later.
"""

from __future__ import annotations

from typing import Any

import numba
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
from .attend_plan import PLAN
from .jit import const, jit
from .tile import ROWS, VECTORS

__all__ = [
    "CHUNK",
    "LEFT",
    "copy_row",
    "pack_part",
    "pack_rows",
    "pack_tiles",
    "pack_types",
    "turn_columns",
    "turn_strip",
]

CHUNK = 1024  # keys per part
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
    """`factor` times rows first .. last of `count`, padded to `wide` columns and by rows of zeros;
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
                    rows + (part * wide + d) * s, wide * s, to + (d * LEFT + part) * s, LEFT * s,
                    like,
                )  # fmt: skip


def pack_types(T: Any) -> tuple[Any, ...]:
    row = const(numba.int64, 1)
    return T[::1], const(numba.from_dtype(PLAN), 1), row, row, numba.int64


@_piece
def pack_tiles(
    source: Any, row: Any, col: Any, first: Any, last: Any, count: Any, dim: Any, wide: Any,
    rows: Any, to: Any, flags: Any, like: Any,
) -> Any:  # fmt: skip
    """Keys first .. last as tiles of columns; `rows` is room for the rows of one tile."""
    tile, bad = VECTORS * width(like), 0
    for j in range(first, last, tile):
        bad += pack_rows(
            source, row, col, j, j + tile, count, dim, wide, 1.0, rows, flags + j, like
        )  # fmt: skip
        turn_columns(rows, wide, to + j * wide * size(like), like)
    return bad


@jit(args=pack_types, reassoc=False)
def pack_part(scratch: Any, plan: Any, k_at: Any, v_at: Any, part: Any) -> None:
    """Pack one chunk of keys of one slice of k (the first parts) or of v (the others)."""
    p, like = plan[0], scratch[0]
    chunks = -(-p.wide_keys // CHUNK)
    index, chunk = part // chunks, part % chunks
    first, last = chunk * CHUNK, min(p.wide_keys, (chunk + 1) * CHUNK)
    if index < k_at.size:
        to, flags = (
            p.kt + index * p.wide_keys * p.wide * size(like),
            p.k_flags + index * p.wide_keys,
        )
        bad = pack_tiles(
            k_at[index], p.k_row, p.k_col, first, last, p.keys, p.dim, p.wide, scratch.ctypes.data,
            to, flags, like,
        )  # fmt: skip
        poke(p.k_bad + (index * chunks + chunk) * 8, np.int64(bad))
    else:
        index -= k_at.size
        at = index * p.wide_keys + first
        bad = pack_rows(
            v_at[index], p.v_row, p.v_col, first, last, p.keys, p.dim_v, p.wide_v, 1.0,
            p.v + at * p.wide_v * size(like), p.v_flags + at, like,
        )  # fmt: skip
        poke(p.v_bad + (index * chunks + chunk) * 8, np.int64(bad))
