"""Attention for a handful of queries, as in decoding: k and v are read once, at memory speed.

Keys are split at fixed places, so that one query of one head can use every core; the parts are
merged in their order.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from .attend_forward import close_row, online_row, part_types, strip_reach, write_row
from .attend_lanes import cast, fma, load, peek, poke, size, splat, spread, store, total, width
from .attend_pack import pack_rows
from .attend_rows import attends, fill, finish_scores, meets_bad_key
from .jit import const, jit
from .tile import VECTORS

__all__ = ["SPLIT", "THIN", "merge_parts", "state_width", "thin_part", "thin_scratch"]

THIN = 4  # queries; from there on strips win
SPLIT = 1024  # keys per part
PIECE = 128  # keys at a time: their k and v stay in the caches between the passes over them

_piece = jit(cache=False, reassoc=False)
_BYTE = np.uint8(0)


def state_width(plan: Any) -> int:
    """Elements that describe one row of one part: maximum, sum, flag, padding, weighted values."""
    return 4 + int(plan["wide_v"])


def thin_scratch(plan: Any) -> int:
    rows = int(plan["group"] * plan["length"])
    return PIECE * int(plan["wide"] + plan["wide_v"] + 4) + rows * (int(plan["wide"]) + 1) + 64


@_piece
def _all_finite(source: Any, count: Any, row: Any, vectors: Any, like: Any) -> Any:
    zero = spread(0, like)
    test = zero
    for j in range(count):
        for d in range(vectors):
            test = fma(load(source + j * row + d * width(like) * size(like), like), zero, test)
    return total(test) == 0


@_piece
def _tidy(
    source: Any, row: Any, col: Any, count: Any, dim: Any, wide: Any, spare: Any, flags: Any,
    like: Any,
) -> Any:  # fmt: skip
    """Address and row stride of `count` rows, finite and padded: in place if they are so."""
    if (
        col == size(like)
        and dim == wide
        and _all_finite(source, count, row, dim // width(like), like)
    ):
        fill(flags, count, _BYTE)
        return source, row, 0
    bad = pack_rows(source, row, col, 0, count, count, dim, wide, 1.0, spare, flags, like)
    return spare, wide * size(like), bad


@_piece
def _dots(query: Any, keys: Any, row: Any, count: Any, vectors: Any, x: Any, like: Any) -> None:
    """x_j = query . key_j."""
    step = width(like) * size(like)
    for j in range(count):
        sums = spread(0, like)
        for d in range(vectors):
            sums = fma(load(query + d * step, like), load(keys + j * row + d * step, like), sums)
        poke(x + j * size(like), total(sums))


@_piece
def _mix(
    x: Any, values: Any, row: Any, count: Any, vectors: Any, factor: Any, sums: Any, like: Any
) -> None:
    """sums = factor * sums + sum_j x_j value_j, four registers of columns at a time."""
    step, scale = width(like) * size(like), splat(factor)
    for d in range(0, vectors // 4 * 4, 4):
        a = b = c = e = spread(0, like)
        for j in range(count):
            weight, place = splat(peek(x + j * size(like), like)), values + j * row + d * step
            a = fma(weight, load(place, like), a)
            b = fma(weight, load(place + step, like), b)
            c = fma(weight, load(place + 2 * step, like), c)
            e = fma(weight, load(place + 3 * step, like), e)
        to = sums + d * step
        store(to, fma(scale, load(to, like), a))
        store(to + step, fma(scale, load(to + step, like), b))
        store(to + 2 * step, fma(scale, load(to + 2 * step, like), c))
        store(to + 3 * step, fma(scale, load(to + 3 * step, like), e))
    for d in range(vectors // 4 * 4, vectors):
        a = spread(0, like)
        for j in range(count):
            a = fma(
                splat(peek(x + j * size(like), like)), load(values + j * row + d * step, like), a
            )
        store(sums + d * step, fma(scale, load(sums + d * step, like), a))


def _thin_types(T: Any) -> tuple[Any, ...]:
    row = const(numba.int64, 1)
    return *part_types(T)[:3], row, row, T[::1], numba.int64


@jit(args=_thin_types, reassoc=False)
def thin_part(
    scratch: Any, plan: Any, heads: Any, k_at: Any, v_at: Any, states: Any, part: Any
) -> None:
    """All queries of one group of heads against one split of the keys."""
    p, like = plan[0], scratch[0]
    s, w = size(like), width(like)
    splits = max(1, -(-p.keys // SPLIT))
    head, split = part // splits * p.group, part % splits
    rows = p.group * p.length
    k_spare = scratch.ctypes.data
    v_spare = k_spare + PIECE * p.wide * s
    x = v_spare + PIECE * p.wide_v * s
    spare = x + PIECE * s
    k_flags = spare + PIECE * s
    v_flags = k_flags + PIECE * s
    queries = v_flags + PIECE * s
    q_flags = queries + rows * p.wide * s
    state_size = (4 + p.wide_v) * s
    state = states.ctypes.data + (head * p.length * splits + split * rows) * state_size
    fill(state, rows * (4 + p.wide_v), cast(0, like))
    for g in range(p.group):
        h = heads[head + g]
        first = g * p.length
        pack_rows(
            h.q, p.q_row, p.q_col, 0, p.length, p.length, p.dim, p.wide, p.scale,
            queries + first * p.wide * s, q_flags + first, like,
        )  # fmt: skip
    for r in range(rows):
        poke(state + r * state_size, cast(-math.inf, like))
        poke(state + r * state_size + 3 * s, cast(peek(q_flags + r, _BYTE), like))
    h = heads[head]
    low, high = strip_reach(p, h, 0, p.length)
    low, high = max(low, split * SPLIT), min(high, (split + 1) * SPLIT)
    for first in range(low, high, PIECE):
        count = min(PIECE, high - first)
        padded = -(-count // (VECTORS * w)) * VECTORS * w
        keys, k_row, k_bad = _tidy(
            k_at[h.k] + first * p.k_row, p.k_row, p.k_col, count, p.dim, p.wide, k_spare, k_flags,
            like,
        )  # fmt: skip
        values, v_row, v_bad = _tidy(
            v_at[h.v] + first * p.v_row, p.v_row, p.v_col, count, p.dim_v, p.wide_v, v_spare,
            v_flags, like,
        )  # fmt: skip
        for r in range(rows):
            _dots(queries + r * p.wide * s, keys, k_row, count, p.wide // w, x, like)
            one, i, here = heads[head + r // p.length], r % p.length, state + r * state_size
            finish_scores(p, one, x, i, first, padded, spare, 0, like)
            if k_bad + v_bad and meets_bad_key(k_flags, v_flags, x, count, like):
                poke(here + 2 * s, cast(1, like))
            if p.kind and peek(here + 3 * s, like) != 0 and attends(x, count, like):
                poke(here + 2 * s, cast(1, like))
            factor = online_row(p, x, padded, here, like)
            _mix(x, values, v_row, count, p.wide_v // w, factor, here + 4 * s, like)


@_piece
def _merge_row(p: Any, state: Any, splits: Any, stride: Any, like: Any) -> Any:
    """Bring the parts of a row onto the highest of their maxima; the first one becomes the sum."""
    s = size(like)
    top = cast(-math.inf, like)
    hit = False
    for part in range(splits):
        top = max(top, peek(state + part * stride, like))
        hit |= peek(state + part * stride + 2 * s, like) != 0
    base, added = np.float64(top * cast(p.power, like)), cast(0, like)
    for part in range(splits):
        here = state + part * stride
        ours = peek(here, like)
        factor = cast(0, like)
        if ours > -math.inf:
            apart = np.float64(ours * cast(p.power, like)) - base
            factor = cast(math.exp(apart * math.log(2.0)), like) if ours < top else cast(1, like)
        fresh = peek(here + s, like)
        if fresh != 0:
            added += fresh * factor
        for d in range(4, 4 + p.wide_v):
            mine = peek(here + d * s, like) * factor if factor != 0 else cast(0, like)
            poke(state + d * s, mine if part == 0 else peek(state + d * s, like) + mine)
    return top, added, hit


@jit(args=part_types, reassoc=False)
def merge_parts(states: Any, plan: Any, heads: Any, group: Any) -> None:
    """Output rows of one group of heads from the states of its parts."""
    p, like = plan[0], states[0]
    s, splits = size(like), max(1, -(-p.keys // SPLIT))
    rows, state_size = p.group * p.length, (4 + p.wide_v) * size(like)
    head = group * p.group
    for r in range(rows):
        state = states.ctypes.data + (head * p.length * splits + r) * state_size
        i, one = r % p.length, head + r // p.length
        bad = peek(state + 3 * s, like) != 0
        top, added, hit = _merge_row(p, state, splits, rows * state_size, like)
        factor, lse = close_row(p, heads[one], i, top, added, hit, bad, like)
        write_row(p, one, i, state + 4 * s, factor, lse, like)
