"""Attention, strip by strip: ROWS queries against blocks of keys with the online softmax."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from .attend_lanes import cast, peek, poke, size, width
from .attend_pack import LEFT, copy_row, pack_rows, turn_columns, turn_strip
from .attend_plan import BLOCK, HEAD, LINE, PLAN
from .attend_rows import fill, finish_scores, meets_bad_key, reach, softmax_row
from .jit import const, jit
from .tile import ROWS, VECTORS, product_scale_add, product_scale_add_narrow, product_set

__all__ = [
    "CHUNK",
    "STRIPS",
    "close_row",
    "forward_part",
    "forward_scratch",
    "online_row",
    "pack_part",
    "part_types",
    "strip_reach",
    "write_row",
]

STRIPS = 8  # per part: they share each block of keys while it is in the second-level cache
CHUNK = 1024  # keys per packing part
RUN = 128  # keys summed in one chain: longer ones lose digits

_piece = jit(cache=False, reassoc=False)
_BYTE = np.uint8(0)


def part_types(T: Any) -> tuple[Any, ...]:
    plan, head = numba.from_dtype(PLAN), numba.from_dtype(HEAD)
    return T[::1], const(plan, 1), const(head, 1), numba.int64


def forward_scratch(plan: Any) -> int:
    """Elements of scratch memory that one part needs."""
    rows, wide = STRIPS * ROWS, int(plan["wide"])
    return (
        ROWS * LINE + (STRIPS + 1) * LEFT * wide + rows * (int(plan["wide_v"]) + 4) + LINE + 3 * ROWS + 64
    )


def _pack_types(T: Any) -> tuple[Any, ...]:
    row = const(numba.int64, 1)
    return T[::1], const(numba.from_dtype(PLAN), 1), row, row, numba.int64


@_piece
def pack_tiles(
    source: Any, row: Any, col: Any, first: Any, last: Any, count: Any, dim: Any, wide: Any, rows: Any,
    to: Any, flags: Any, like: Any,
) -> Any:  # fmt: skip
    """Keys first .. last as tiles of columns; `rows` is room for the rows of one tile."""
    tile, bad = VECTORS * width(like), 0
    for j in range(first, last, tile):
        bad += pack_rows(
            source, row, col, j, j + tile, count, dim, wide, 1.0, rows, flags + j, like
        )  # fmt: skip
        turn_columns(rows, wide, to + j * wide * size(like), like)
    return bad


@jit(args=_pack_types, reassoc=False)
def pack_part(scratch: Any, plan: Any, k_at: Any, v_at: Any, part: Any) -> None:
    """Pack one chunk of keys of one slice of k (the first parts) or of v (the others)."""
    p, like = plan[0], scratch[0]
    chunks = -(-p.wide_keys // CHUNK)
    index, chunk = part // chunks, part % chunks
    first, last = chunk * CHUNK, min(p.wide_keys, (chunk + 1) * CHUNK)
    if index < k_at.size:
        to, flags = p.kt + index * p.wide_keys * p.wide * size(like), p.k_flags + index * p.wide_keys
        bad = pack_tiles(
            k_at[index], p.k_row, p.k_col, first, last, p.keys, p.dim, p.wide, scratch.ctypes.data, to,
            flags, like,
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


@_piece
def any_bad(p: Any, h: Any) -> Any:
    """Whether any key of this head has a bad row."""
    chunks = -(-p.wide_keys // CHUNK)
    for c in range(chunks):
        if peek(p.k_bad + (h.k * chunks + c) * 8, np.int64(0)) or peek(
            p.v_bad + (h.v * chunks + c) * 8, np.int64(0)
        ):
            return True
    return False


@_piece
def strip_reach(p: Any, h: Any, first: Any, rows: Any) -> Any:
    """First and last key that any of these queries sees."""
    low, high = p.keys, 0
    for i in range(first, first + rows):
        start, end = reach(p, h, i)
        if start < end:
            low, high = min(low, start), max(high, end)
    return low, high


@_piece
def score_tiles(
    queries: Any, keys: Any, dim: Any, wide: Any, first: Any, count: Any, scores: Any, like: Any
) -> None:  # fmt: skip
    """q k^T of one strip against `count` packed keys from `first`, both multiples of a tile."""
    tile = VECTORS * width(like)
    if dim == 0:
        for r in range(ROWS):
            fill(scores + r * LINE * size(like), count, cast(0, like))
        return
    for j in range(0, count, tile):
        product_set(
            like, queries, 1, LEFT, keys + (first + j) * wide * size(like), tile,
            scores + j * size(like), LINE, dim, 0,
        )  # fmt: skip


@_piece
def _mix_values(
    p: Any, weights: Any, values: Any, sums: Any, factors: Any, ones: Any, count: Any, like: Any
) -> None:  # fmt: skip
    """sums = factors * sums + weights @ values, over `count` keys."""
    w, s = width(like), size(like)
    for first in range(0, count, RUN):
        some = min(RUN, count - first)
        a, b = weights + first * s, values + first * p.wide_v * s
        if first == RUN:
            factors = ones
        for j in range(0, p.wide_v - w, VECTORS * w):
            product_scale_add(
                like, a, LINE, 1, b + j * s, p.wide_v, sums + j * s, p.wide_v, some, factors
            )  # fmt: skip
        if p.wide_v // w % VECTORS:
            j = p.wide_v - w
            product_scale_add_narrow(
                like, a, LINE, 1, b + j * s, p.wide_v, sums + j * s, p.wide_v, some, factors
            )  # fmt: skip


@_piece
def online_row(p: Any, x: Any, count: Any, state: Any, like: Any) -> Any:
    """Logits of a row become weights; `state` holds the running maximum and sum. Gives the factor
    that brings what was summed before onto the new maximum."""
    s = size(like)
    old = peek(state, like)
    top, base, added = softmax_row(x, count, p.power, old, like)
    factor = cast(1, like)
    if top != old:
        apart = np.float64(old * cast(p.power, like)) - np.float64(base)
        factor = cast(math.exp(apart * math.log(2.0)) if old > -math.inf else 0.0, like)
    poke(state, top)
    poke(state + s, peek(state + s, like) * factor + added)
    return factor


@_piece
def _weigh(
    p: Any, h: Any, scores: Any, i: Any, rows: Any, first: Any, count: Any, state: Any, factors: Any,
    hits: Any, spare: Any, bad: Any, like: Any,
) -> None:  # fmt: skip
    """Scores of a strip become weights; running maximum and sum are in `state` (top, sum per row)."""
    s = size(like)
    for r in range(rows):
        x = scores + r * LINE * s
        finish_scores(p, h, x, i + r, first, count, spare, 0, like)
        if bad and meets_bad_key(
            p.k_flags + h.k * p.wide_keys + first,
            p.v_flags + h.v * p.wide_keys + first,
            x,
            count,
            like,
        ):
            poke(hits + r, np.uint8(1))
        factor = online_row(p, x, count, state + 2 * r * s, like)
        poke(factors + r * s, factor)


@_piece
def close_row(p: Any, h: Any, i: Any, top: Any, added: Any, hit: Any, bad: Any, like: Any) -> Any:
    """Factor that turns the sums of a row into its output, and its logsumexp."""
    if i >= h.rows:
        return cast(0, like), cast(-math.inf, like)
    if hit or (bad and (top > -math.inf or added != 0)):
        return cast(math.nan, like), cast(math.nan, like)
    base = -math.inf
    if top > -math.inf:  # as the weights saw it: rounded after the factor
        base = np.float64(top * cast(p.power, like)) / np.float64(cast(p.power, like))
    high = max(base, h.sink)
    if high == -math.inf and added == 0:
        return cast(0, like), cast(-math.inf, like)
    ours = math.exp(base - high) if base > -math.inf else 0.0
    rest = math.exp(h.sink - high) if h.sink > -math.inf else 0.0
    weight = added * ours + rest
    return cast(ours / weight, like), cast(high + math.log(weight), like)


@_piece
def write_row(p: Any, head: Any, i: Any, sums: Any, factor: Any, lse: Any, like: Any) -> None:
    """One row of the output and its logsumexp."""
    s = size(like)
    place = p.out + (head * p.length + i) * p.dim_v * s
    if factor != 0:
        copy_row(sums, s, p.dim_v, factor, place, like)
    else:  # sums may be anything where nothing was attended
        fill(place, p.dim_v, cast(0, like))
    poke(p.lse + (head * p.length + i) * s, lse)


@jit(args=part_types, reassoc=False)
def forward_part(scratch: Any, plan: Any, heads: Any, part: Any) -> None:
    """Output and logsumexp of STRIPS strips of one head."""
    p, like = plan[0], scratch[0]
    s, tile = size(like), VECTORS * width(like)
    groups = -(-p.length // (STRIPS * ROWS))
    head, group = part // groups, groups - 1 - part % groups  # under causality: longest first
    h, begin = heads[head], group * STRIPS * ROWS
    strips = -(-min(STRIPS * ROWS, p.length - begin) // ROWS)
    scores = scratch.ctypes.data
    queries = scores + ROWS * LINE * s
    rows_of_q = queries + STRIPS * LEFT * p.wide * s
    sums = rows_of_q + LEFT * p.wide * s
    state = sums + STRIPS * ROWS * p.wide_v * s
    factors = state + 2 * STRIPS * ROWS * s
    ones = factors + ROWS * s
    spare = ones + ROWS * s
    hits = spare + LINE * s
    bad_queries = hits + STRIPS * ROWS
    fill(sums, STRIPS * ROWS * p.wide_v, cast(0, like))
    fill(factors, ROWS, cast(0, like))
    fill(ones, ROWS, cast(1, like))
    fill(hits, STRIPS * ROWS, _BYTE)
    low, high = p.keys, 0
    for t in range(strips):
        i = begin + t * ROWS
        rows = min(ROWS, p.length - i)
        pack_rows(
            h.q + i * p.q_row, p.q_row, p.q_col, 0, ROWS, rows, p.dim, p.wide, p.scale, rows_of_q,
            bad_queries + t * ROWS, like,
        )  # fmt: skip
        turn_strip(rows_of_q, p.wide, queries + t * LEFT * p.wide * s, like)
        for r in range(ROWS):
            poke(state + 2 * (t * ROWS + r) * s, cast(-math.inf, like))
            poke(state + (2 * (t * ROWS + r) + 1) * s, cast(0, like))
        start, end = strip_reach(p, h, i, rows)
        low, high = min(low, start), max(high, end)
    bad = any_bad(p, h)
    keys, values = p.kt + h.k * p.wide_keys * p.wide * s, p.v + h.v * p.wide_keys * p.wide_v * s
    for block in range(low // BLOCK * BLOCK, high, BLOCK):
        for t in range(strips):
            i = begin + t * ROWS
            rows = min(ROWS, p.length - i)
            start, end = strip_reach(p, h, i, rows)
            first, last = max(block, start // tile * tile), min(block + BLOCK, end)
            if first >= last:
                continue
            count = -(-(last - first) // tile) * tile
            score_tiles(
                queries + t * LEFT * p.wide * s, keys, p.dim, p.wide, first, count, scores, like
            )  # fmt: skip
            _weigh(
                p, h, scores, i, rows, first, count, state + 2 * t * ROWS * s, factors, hits + t * ROWS,
                spare, bad, like,
            )  # fmt: skip
            _mix_values(
                p, scores, values + first * p.wide_v * s, sums + t * ROWS * p.wide_v * s, factors, ones,
                last - first, like,
            )  # fmt: skip
    for r in range(min(STRIPS * ROWS, p.length - begin)):
        factor, lse = close_row(
            p, h, begin + r, peek(state + 2 * r * s, like), peek(state + (2 * r + 1) * s, like),
            peek(hits + r, _BYTE), peek(bad_queries + r, _BYTE), like,
        )  # fmt: skip
        write_row(p, head, begin + r, sums + r * p.wide_v * s, factor, lse, like)
