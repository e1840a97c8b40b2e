"""What comes before the products of the backward pass: operands in their layouts, sums of rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .attend_forward import part_types
from .attend_lanes import cast, fma, peak, peek, poke, size, splat, width
from .attend_pack import (
    LEFT,
    copy_row,
    pack_rows,
    pack_tiles,
    pack_types,
    turn_columns,
    turn_strip,
)
from .attend_rows import fill
from .jit import jit
from .tile import ROWS, VECTORS

__all__ = ["pack_keys_part", "pack_queries_part"]

_piece = jit(cache=False, reassoc=False)
_BYTE = np.uint8(0)


@jit(args=pack_types, reassoc=False)
def pack_keys_part(scratch: Any, plan: Any, k_at: Any, v_at: Any, part: Any) -> None:
    """Pack one slice of k (columns and rows) or, after those, of v (columns)."""
    p, like = plan[0], scratch[0]
    s, tile = size(like), VECTORS * width(like)
    if part < k_at.size:
        at = part * p.wide_keys
        rows = p.k_rows + at * p.wide * s
        pack_rows(
            k_at[part], p.k_row, p.k_col, 0, p.wide_keys, p.keys, p.dim, p.wide, 1.0, rows,
            p.k_flags + at, like,
        )  # fmt: skip
        for j in range(0, p.wide_keys, tile):
            turn_columns(rows + j * p.wide * s, p.wide, p.kt + (at + j) * p.wide * s, like)
    else:
        at = (part - k_at.size) * p.wide_keys
        pack_tiles(
            v_at[part - k_at.size], p.v_row, p.v_col, 0, p.wide_keys, p.keys, p.dim_v, p.wide_v,
            scratch.ctypes.data, p.vt + at * p.wide_v * s, p.v_flags + at, like,
        )  # fmt: skip


@_piece
def _inner(x: Any, y: Any, count: Any, like: Any) -> Any:
    """x . y, rounded as the products of the micro-kernel are: term by term, each one fused.

    A query that attends one key then has a score gradient of exactly 0, as it should.
    """
    sums = splat(cast(0, like))
    for d in range(count):
        a, b = peek(x + d * size(like), like), peek(y + d * size(like), like)
        sums = fma(splat(a), splat(b), sums)
    return peak(sums)


@_piece
def _pack_query(p: Any, h: Any, head: Any, i: Any, count: Any, like: Any) -> None:
    """One strip of q and of dout as rows and as a strip."""
    s = size(like)
    padded = -(-p.length // ROWS) * ROWS
    at = head * padded + i
    flags = p.dead + at
    strip = (head * padded + i) // ROWS * LEFT
    rows = p.q_rows + at * p.wide * s
    pack_rows(
        h.q + i * p.q_row, p.q_row, p.q_col, 0, ROWS, count, p.dim, p.wide, p.scale, rows, flags,
        like,
    )  # fmt: skip
    turn_strip(rows, p.wide, p.q_strips + strip * p.wide * s, like)
    rows = p.do_rows + at * p.wide_v * s
    for r in range(ROWS):
        row, lse = head * p.length + i + r, cast(-math.inf, like)
        if r < count:
            lse = peek(p.lse + row * s, like)
        live = math.isfinite(lse)
        poke(flags + r, np.uint8(not live))
        kept, delta, place = 0, cast(0, like), rows + r * p.wide_v * s
        if live:
            kept = p.dim_v
            copy_row(p.dout + row * p.dim_v * s, s, kept, 1.0, place, like)
            if p.unit or not p.kind:
                delta = _inner(place, p.out + row * p.dim_v * s, kept, like)
            delta -= peek(p.dlse + row * s, like) * (lse if p.unit else cast(1, like))
        fill(place + kept * s, p.wide_v - kept, cast(0, like))
        poke(p.delta + (at + r) * s, cast(delta, like))
        power = cast(p.power, like)
        high = lse * power
        low = peak(fma(splat(lse), splat(power), splat(-high))) if live else high
        poke(p.norm + 2 * (at + r) * s, high)  # and 2^(what rounding took): large logits need it
        rest = math.exp(low * -math.log(2.0)) if live else 0.0
        if p.kind:
            rest = 1.0
            if p.unit:
                rest = 1.0 / np.float64(lse) if lse > 0 else 0.0
        poke(p.norm + (2 * (at + r) + 1) * s, cast(rest, like))
    turn_strip(rows, p.wide_v, p.do_strips + strip * p.wide_v * s, like)


@jit(args=part_types, reassoc=False)
def pack_queries_part(witness: Any, plan: Any, heads: Any, head: Any) -> None:
    """Pack q and dout of one query head; the gradient of its sink."""
    p, like, h = plan[0], witness[0], heads[head]
    for i in range(0, p.length, ROWS):
        _pack_query(p, h, head, i, min(ROWS, p.length - i), like)
    if p.dsink:
        at, s = head * (-(-p.length // ROWS) * ROWS), size(like)
        slope = 0.0
        if h.sink > -math.inf:
            for i in range(min(p.length, h.rows)):
                if not peek(p.dead + at + i, _BYTE):
                    share = math.exp(h.sink - peek(p.lse + (head * p.length + i) * s, like))
                    slope -= share * peek(p.delta + (at + i) * s, like)
        poke(p.dsink + head * 8, slope)
