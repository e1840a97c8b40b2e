"""Gradients of attention: five products per tile, nothing of size L x S.

A part owns a chunk of keys of one key head: dk and dv are its own, dq goes to a buffer of the chunk
that is summed in order afterwards. So results don't depend on who computed what when.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .attend_forward import part_types, score_tiles, strip_reach
from .attend_lanes import (
    absolute,
    cast,
    fma,
    iota,
    load,
    peek,
    poke,
    size,
    spread,
    store,
    total,
    width,
)  # fmt: skip
from .attend_pack import LEFT, copy_row
from .attend_power import exp2
from .attend_rows import fill, finish_scores
from .attend_weights import grade_map
from .jit import jit
from .tile import ROWS, VECTORS, product_add, product_add_narrow

__all__ = ["KEYS", "backward_part", "backward_scratch", "gather_part"]

KEYS = 256  # per block: dk and dv of a block stay in the second-level cache
LINE = KEYS + 16  # row stride of tiles
STRIPS = 4  # per block of queries

_piece = jit(cache=False, reassoc=False)
_BYTE = np.uint8(0)


def backward_scratch(plan: Any) -> int:
    """Elements of scratch memory that one part needs."""
    rows = STRIPS * ROWS
    return 3 * rows * LINE + (KEYS + ROWS) * int(plan["wide"] + plan["wide_v"]) + LINE + 64


@_piece
def _grade_row(x: Any, dp: Any, count: Any, power: Any, norm: Any, delta: Any, like: Any) -> None:
    """Logits become weights p, and dp becomes p (dp - delta)."""
    factor, off = spread(power, like), spread(delta, like)
    less, rest = spread(-peek(norm, like), like), spread(peek(norm + size(like), like), like)
    for j in range(0, count * size(like), width(like) * size(like)):
        weight = rest * exp2(fma(load(x + j, like), factor, less))
        store(x + j, weight)
        store(dp + j, weight * (load(dp + j, like) - off))


@_piece
def _bias_row(
    p: Any, h: Any, ds: Any, i: Any, first: Any, count: Any, chunk: Any, like: Any
) -> None:
    """Add a row of dS to the gradient of the bias."""
    s, w = size(like), width(like)
    there = min(count, p.keys - first)
    place = h.dbias + chunk * p.dbias_chunk + i * p.dbias_row + first * p.dbias_col
    if p.dbias_col:
        whole = there // w * w
        for j in range(0, whole, w):
            store(place + j * s, load(place + j * s, like) + load(ds + j * s, like))
        for j in range(whole, there):
            poke(place + j * s, peek(place + j * s, like) + peek(ds + j * s, like))
    else:
        sums = spread(0, like)
        for j in range(0, count, w):
            sums = sums + load(ds + j * s, like)
        poke(place, peek(place, like) + total(sums))


@_piece
def _slope_row(h: Any, ds: Any, i: Any, first: Any, count: Any, like: Any) -> Any:
    """sum_j dS_j |i + shift - j|."""
    sums, lanes = spread(0, like), iota(like)
    for j in range(0, count, width(like)):
        far = absolute(lanes + spread(first + j - i - h.shift, like))
        sums = fma(load(ds + j * size(like), like), far, sums)
    return total(sums)


@_piece
def _multiply_row(x: Any, y: Any, count: Any, like: Any) -> None:
    for j in range(0, count * size(like), width(like) * size(like)):
        store(x + j, load(x + j, like) * load(y + j, like))


@_piece
def _grade_strip(
    p: Any, h: Any, head: Any, at: Any, i: Any, first: Any, count: Any, chunk: Any, x: Any, ds: Any,
    caps: Any, spare: Any, like: Any,
) -> None:  # fmt: skip
    """Scores and dP of one strip become P and dS; with ROWS zeros after them."""
    s = size(like)
    for r in range(ROWS):
        line, row = r * LINE * s, i + r
        fill(x + line + count * s, ROWS, cast(0, like))
        fill(ds + line + count * s, ROWS, cast(0, like))
        if peek(p.dead + at + r, _BYTE):
            fill(x + line, count, cast(0, like))
            fill(ds + line, count, cast(0, like))
            continue
        cap = caps + line if p.softcap > 0 else 0
        finish_scores(p, h, x + line, row, first, count, spare, cap, like)
        delta = peek(p.delta + (at + r) * s, like)
        if p.kind:
            rest = peek(p.norm + (2 * (at + r) + 1) * s, like)
            grade_map(x + line, ds + line, count, p.kind, p.lift, p.order, delta, rest, like)
        else:
            _grade_row(x + line, ds + line, count, p.power, p.norm + 2 * (at + r) * s, delta, like)
        if p.dbias:
            _bias_row(p, h, ds + line, row, first, count, chunk, like)
        if p.dslopes:
            place = p.dslopes + (chunk * p.heads * p.batch + head) * 8
            poke(place, peek(place, 0.0) - _slope_row(h, ds + line, row, first, count, like))
        if p.softcap > 0:
            _multiply_row(ds + line, cap, count, like)


@_piece
def _product_rows(
    a: Any, a_row: Any, a_step: Any, b: Any, wide: Any, c: Any, count: Any, like: Any
) -> None:  # fmt: skip
    """C += A B for one strip of C and all of its columns."""
    w, s = width(like), size(like)
    for j in range(0, wide - w, VECTORS * w):
        product_add(like, a, a_row, a_step, b + j * s, wide, c + j * s, wide, count, 0)
    if wide // w % VECTORS:
        j = wide - w
        product_add_narrow(like, a, a_row, a_step, b + j * s, wide, c + j * s, wide, count, 0)


@_piece
def _grade_block(
    p: Any, h: Any, head: Any, begin: Any, block: Any, chunk: Any, scratch: Any, dk: Any, dv: Any,
    like: Any,
) -> None:  # fmt: skip
    """One block of queries against one block of keys."""
    s, tile = size(like), VECTORS * width(like)
    rows = min(STRIPS * ROWS, p.length - begin)
    low, high = strip_reach(p, h, begin, rows)
    first, last = max(block, low // tile * tile), min(block + KEYS, high)
    if first >= last:
        return
    count = -(-(last - first) // tile) * tile
    strips, padded = -(-rows // ROWS), -(-p.length // ROWS) * ROWS
    x = scratch
    ds = x + STRIPS * ROWS * LINE * s
    caps = ds + STRIPS * ROWS * LINE * s
    spare = caps + STRIPS * ROWS * LINE * s
    keys, values = h.k * p.wide_keys * s, h.v * p.wide_keys * s
    for t in range(strips):
        at = head * padded + begin + t * ROWS
        down = t * ROWS * LINE * s
        strip = at // ROWS * LEFT * s
        score_tiles(
            p.q_strips + strip * p.wide, p.kt + keys * p.wide, p.dim, p.wide, first, count,
            x + down, LINE, like,
        )  # fmt: skip
        score_tiles(
            p.do_strips + strip * p.wide_v, p.vt + values * p.wide_v, p.dim_v, p.wide_v, first,
            count, ds + down, LINE, like,
        )  # fmt: skip
        _grade_strip(
            p, h, head, at, begin + t * ROWS, first, count, chunk, x + down, ds + down, caps + down,
            spare, like,
        )  # fmt: skip
        if p.dq:
            dq = p.dq_parts + ((chunk * p.heads * p.batch) * padded + at) * p.wide * s
            rows_of_k = p.k_rows + keys * p.wide + first * p.wide * s
            _product_rows(ds + down, LINE, 1, rows_of_k, p.wide, dq, last - first, like)
    at = head * padded + begin
    for j in range(0, last - first, ROWS):
        row = first - block + j
        if p.dv:
            _product_rows(
                x + j * s, 1, LINE, p.do_rows + at * p.wide_v * s, p.wide_v,
                dv + row * p.wide_v * s, strips * ROWS, like,
            )  # fmt: skip
        if p.dk:
            _product_rows(
                ds + j * s, 1, LINE, p.q_rows + at * p.wide * s, p.wide, dk + row * p.wide * s,
                strips * ROWS, like,
            )  # fmt: skip


@_piece
def _write_rows(
    to: Any, source: Any, first: Any, count: Any, dim: Any, wide: Any, like: Any
) -> None:  # fmt: skip
    s = size(like)
    for j in range(count):
        copy_row(source + j * wide * s, s, dim, 1.0, to + (first + j) * dim * s, like)


@jit(args=part_types, reassoc=False)
def backward_part(scratch: Any, plan: Any, heads: Any, part: Any) -> None:
    """dk and dv of one chunk of keys of one key head, and what the chunk gives to dq."""
    p, like = plan[0], scratch[0]
    s = size(like)
    group, chunk = part // p.chunks, part % p.chunks
    dk = scratch.ctypes.data
    dv = dk + (KEYS + ROWS) * p.wide * s
    tiles = dv + (KEYS + ROWS) * p.wide_v * s
    if p.dq:
        mine = p.group * (-(-p.length // ROWS) * ROWS) * p.wide
        first = chunk * (heads.size // p.group) + group
        fill(p.dq_parts + first * mine * s, mine, cast(0, like))
    for b in range(p.per_chunk):
        block = (chunk * p.per_chunk + b) * KEYS
        if block >= p.keys:
            break
        fill(dk, (KEYS + ROWS) * (p.wide + p.wide_v), cast(0, like))
        for g in range(p.group):
            head = group * p.group + g
            for begin in range(0, p.length, STRIPS * ROWS):
                _grade_block(p, heads[head], head, begin, block, chunk, tiles, dk, dv, like)
        there = min(KEYS, p.keys - block)
        if p.dk:
            to = p.dk + group * p.keys * p.dim * s
            _write_rows(to, dk, block, there, p.dim, p.wide, like)
        if p.dv:
            to = p.dv + group * p.keys * p.dim_v * s
            _write_rows(to, dv, block, there, p.dim_v, p.wide_v, like)


@jit(args=part_types, reassoc=False)
def gather_part(witness: Any, plan: Any, heads: Any, head: Any) -> None:
    """dq of one query head: the chunks' shares, summed in their order."""
    p, like = plan[0], witness[0]
    s, padded = size(like), -(-p.length // ROWS) * ROWS
    step = heads.size * padded * p.wide * s
    whole = p.dim // width(like) * width(like)
    for i in range(p.length):
        source = p.dq_parts + (head * padded + i) * p.wide * s
        place = p.dq + (head * p.length + i) * p.dim * s
        for d in range(0, whole * s, width(like) * s):
            values = load(source + d, like)
            for c in range(1, p.chunks):
                values = values + load(source + c * step + d, like)
            store(place + d, values * spread(p.scale, like))
        for d in range(whole * s, p.dim * s, s):
            value = peek(source + d, like)
            for c in range(1, p.chunks):
                value += peek(source + c * step + d, like)
            poke(place + d, value * cast(p.scale, like))
