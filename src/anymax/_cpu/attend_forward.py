"""Attention, strip by strip: ROWS queries against blocks of keys with the online softmax."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from .attend_lanes import cast, fma, load, peek, poke, size, store, width
from .attend_pack import CHUNK, LEFT, copy_row, pack_rows, turn_strip
from .attend_plan import BLOCK, HEAD, LINE, PLAN
from .attend_power import exp2
from .attend_rows import attends, fill, finish_scores, meets_bad_key, reach, softmax_row
from .attend_weights import map_row
from .jit import const, jit
from .tile import ROWS, VECTORS, product_scale_add, product_scale_add_narrow, product_set

__all__ = [
    "STRIPS",
    "close_row",
    "forward_part",
    "forward_scratch",
    "online_row",
    "part_types",
    "strip_reach",
    "write_row",
]

STRIPS = 8  # per part: they share each block of keys while it is in the second-level cache
RUN = 128  # keys summed in one chain: longer ones lose digits

_piece = jit(cache=False, reassoc=False)
_BYTE = np.uint8(0)


def part_types(T: Any) -> tuple[Any, ...]:
    plan, head = numba.from_dtype(PLAN), numba.from_dtype(HEAD)
    return T[::1], const(plan, 1), const(head, 1), numba.int64


def forward_scratch(plan: Any) -> int:
    """Elements of scratch memory that one part needs."""
    per_strip = LEFT * (int(plan["wide"]) + 2) + ROWS * (int(plan["wide_v"]) + 2)
    return ROWS * LINE + STRIPS * per_strip + LEFT * (int(plan["wide"]) + 3) + LINE + 64


class Room(NamedTuple):
    """Addresses in the scratch memory of a part."""

    scores: int  # (ROWS, LINE): scores of one strip against one block, then its weights
    queries: int  # (STRIPS, wide, LEFT): packed strips
    rows: int  # (LEFT, wide): one of them before it is turned
    sums: int  # (STRIPS, ROWS, wide_v): weighted values so far
    tops: int  # (STRIPS, LEFT): highest logit so far
    totals: int  # (STRIPS, LEFT): sum of weights so far
    factors: int  # (LEFT,)
    added: int  # (LEFT,)
    ones: int  # (LEFT,)
    spare: int  # (LINE,): for rows of masks and biases that are not side by side
    hits: int  # (STRIPS, ROWS) bytes: whether a row attends a bad key
    bad_queries: int  # (STRIPS, ROWS) bytes


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
    queries: Any, keys: Any, dim: Any, wide: Any, first: Any, count: Any, scores: Any, line: Any,
    like: Any,
) -> None:  # fmt: skip
    """q k^T of one strip against `count` packed keys from `first`, both multiples of a tile."""
    tile = VECTORS * width(like)
    if dim == 0:
        for r in range(ROWS):
            fill(scores + r * line * size(like), count, cast(0, like))
        return
    for j in range(0, count, tile):
        product_set(
            like, queries, 1, LEFT, keys + (first + j) * wide * size(like), tile,
            scores + j * size(like), line, dim, 0,
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
    if p.kind:
        poke(state, cast(0, like))  # no maximum to keep: all parts weigh alike
        added = map_row(x, count, p.kind, p.lift, p.order, like)
        poke(state + s, peek(state + s, like) + added)
        return cast(1, like)
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
    p: Any, h: Any, room: Any, t: Any, i: Any, rows: Any, first: Any, count: Any, bad: Any,
    like: Any,
) -> None:  # fmt: skip
    """Scores of strip `t` become weights; its running maxima and sums move on, and `factors` bring
    what was summed before onto the new maxima."""
    s, w, power = size(like), width(like), cast(p.power, like)
    tops, totals = room.tops + t * LEFT * s, room.totals + t * LEFT * s
    for r in range(rows):
        x = room.scores + r * LINE * s
        finish_scores(p, h, x, i + r, first, count, room.spare, 0, like)
        k_flags, v_flags = p.k_flags + h.k * p.wide_keys, p.v_flags + h.v * p.wide_keys
        if bad and meets_bad_key(k_flags + first, v_flags + first, x, count, like):
            poke(room.hits + t * ROWS + r, np.uint8(1))
        if p.kind:
            if peek(room.bad_queries + t * ROWS + r, _BYTE) and attends(x, count, like):
                poke(room.hits + t * ROWS + r, np.uint8(1))
            poke(room.factors + r * s, cast(0, like))
            poke(room.added + r * s, map_row(x, count, p.kind, p.lift, p.order, like))
            continue
        old = peek(tops + r * s, like)
        top, base, added = softmax_row(x, count, p.power, old, like)
        poke(tops + r * s, top)
        poke(room.factors + r * s, old * power - base)
        poke(room.added + r * s, added)
    for r in range(0, LEFT * s, w * s):  # one exponential for the whole strip
        factor = exp2(load(room.factors + r, like))
        store(room.factors + r, factor)
        store(totals + r, fma(load(totals + r, like), factor, load(room.added + r, like)))


@_piece
def close_row(p: Any, h: Any, i: Any, top: Any, added: Any, hit: Any, bad: Any, like: Any) -> Any:
    """Factor that makes the sums of a row its output, and its logsumexp or sum of weights."""
    if p.kind and i < h.rows and not hit:
        factor = cast(1, like)
        if p.unit:
            factor = cast(1, like) / added if added > 0 else cast(0, like)
        return factor, added
    if p.kind and not hit:
        return cast(0, like), cast(0, like)
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
    if base == high:
        ours, rest = 1.0, math.exp(h.sink - high) if h.sink > -math.inf else 0.0
    else:
        ours, rest = math.exp(base - high) if base > -math.inf else 0.0, 1.0
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


@_piece
def _places(p: Any, scratch: Any, like: Any) -> Any:
    """Where things lie in the scratch memory of a part."""
    s = size(like)
    scores = scratch.ctypes.data
    queries = scores + ROWS * LINE * s
    rows = queries + STRIPS * LEFT * p.wide * s
    sums = rows + LEFT * p.wide * s
    tops = sums + STRIPS * ROWS * p.wide_v * s
    totals = tops + STRIPS * LEFT * s
    factors = totals + STRIPS * LEFT * s
    added, ones = factors + LEFT * s, factors + 2 * LEFT * s
    spare = ones + LEFT * s
    hits = spare + LINE * s
    bad_queries = hits + STRIPS * ROWS
    return Room(
        scores, queries, rows, sums, tops, totals, factors, added, ones, spare, hits, bad_queries
    )  # fmt: skip


@_piece
def _begin(p: Any, h: Any, room: Any, begin: Any, strips: Any, like: Any) -> Any:
    """Pack the queries, clear the sums; gives the range of keys that the part sees."""
    s = size(like)
    fill(room.sums, STRIPS * ROWS * p.wide_v, cast(0, like))
    fill(room.tops, STRIPS * LEFT, cast(-math.inf, like))
    fill(room.totals, STRIPS * LEFT, cast(0, like))
    fill(room.factors, 2 * LEFT, cast(0, like))
    fill(room.ones, LEFT, cast(1, like))
    fill(room.hits, STRIPS * ROWS, _BYTE)
    low, high = p.keys, 0
    for t in range(strips):
        i = begin + t * ROWS
        rows = min(ROWS, p.length - i)
        pack_rows(
            h.q + i * p.q_row, p.q_row, p.q_col, 0, ROWS, rows, p.dim, p.wide, p.scale, room.rows,
            room.bad_queries + t * ROWS, like,
        )  # fmt: skip
        turn_strip(room.rows, p.wide, room.queries + t * LEFT * p.wide * s, like)
        start, end = strip_reach(p, h, i, rows)
        low, high = min(low, start), max(high, end)
    return low, high


@_piece
def _strip_block(
    p: Any, h: Any, room: Any, t: Any, i: Any, block: Any, bad: Any, like: Any
) -> None:  # fmt: skip
    """One strip against one block of keys, or the part of it that the strip sees."""
    s, tile = size(like), VECTORS * width(like)
    rows = min(ROWS, p.length - i)
    start, end = strip_reach(p, h, i, rows)
    first, last = max(block, start // tile * tile), min(block + BLOCK, end)
    if first >= last:
        return
    count = -(-(last - first) // tile) * tile
    score_tiles(
        room.queries + t * LEFT * p.wide * s, p.kt + h.k * p.wide_keys * p.wide * s, p.dim, p.wide,
        first, count, room.scores, LINE, like,
    )  # fmt: skip
    _weigh(p, h, room, t, i, rows, first, count, bad, like)
    _mix_values(
        p, room.scores, p.v + (h.v * p.wide_keys + first) * p.wide_v * s,
        room.sums + t * ROWS * p.wide_v * s, room.factors, room.ones, last - first, like,
    )  # fmt: skip


@jit(args=part_types, reassoc=False)
def forward_part(scratch: Any, plan: Any, heads: Any, part: Any) -> None:
    """Output and logsumexp of STRIPS strips of one head."""
    p, like = plan[0], scratch[0]
    s, groups = size(like), -(-p.length // (STRIPS * ROWS))
    head, group = part // groups, groups - 1 - part % groups  # under causality: longest first
    h, begin = heads[head], group * STRIPS * ROWS
    length = min(STRIPS * ROWS, p.length - begin)
    strips = -(-length // ROWS)
    room = _places(p, scratch, like)
    low, high = _begin(p, h, room, begin, strips, like)
    bad = any_bad(p, h)
    for block in range(low // BLOCK * BLOCK, high, BLOCK):
        for t in range(strips):
            _strip_block(p, h, room, t, begin + t * ROWS, block, bad, like)
    for r in range(length):
        at = (r // ROWS * LEFT + r % ROWS) * s
        factor, lse = close_row(
            p, h, begin + r, peek(room.tops + at, like), peek(room.totals + at, like),
            peek(room.hits + r, _BYTE), peek(room.bad_queries + r, _BYTE), like,
        )  # fmt: skip
        write_row(p, head, begin + r, room.sums + r * p.wide_v * s, factor, lse, like)
