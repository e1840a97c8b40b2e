"""One row of scores: which keys it reaches, its terms beside q.k, its mask, its softmax.

Forward and backward share these, so that both see bitwise the same scores.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .attend_lanes import (
    absolute,
    cast,
    constant,
    fma,
    highest,
    iota,
    keep,
    load,
    peak,
    peek,
    poke,
    size,
    spread,
    store,
    total,
    width,
)  # fmt: skip
from .attend_power import exp2, tanh
from .jit import jit

__all__ = ["attends", "fill", "finish_scores", "meets_bad_key", "reach", "softmax_row"]

_piece = jit(cache=False, reassoc=False)
_BYTE = np.uint8(0)


@_piece
def reach(p: Any, h: Any, i: Any) -> Any:
    """First key and end of the keys that query i may see: causality, window and lengths all cut
    intervals."""
    here = i + h.shift
    low, high = 0, h.cols
    if p.causal:
        high = min(high, here + 1)
    if p.left >= 0:
        low = max(low, here - p.left)
    if p.right >= 0:
        high = min(high, here + p.right + 1)
    if i >= h.rows or low >= high:
        return 0, 0
    return low, high


@_piece
def fill(place: Any, count: Any, value: Any) -> None:
    """The same number `count` times."""
    for j in range(count):
        poke(place + j * size(value), value)


@_piece
def _side_by_side(source: Any, stride: Any, count: Any, whole: Any, spare: Any, like: Any) -> Any:
    """Address of `count` elements one after the other and readable up to `whole`: where they are,
    or a copy."""
    if stride == size(like) and count == whole:
        return source
    for j in range(count):
        poke(spare + j * size(like), peek(source + j * stride, like))
    return spare


@_piece
def _cap(p: Any, x: Any, count: Any, slopes: Any, like: Any) -> None:
    """x = c tanh(x / c); with an address in `slopes`, also its derivative."""
    cap, inner = spread(p.softcap, like), spread(1 / p.softcap, like)
    one = constant(like, 1.0)
    for j in range(0, count, width(like)):
        t = tanh(load(x + j * size(like), like) * inner)
        store(x + j * size(like), t * cap)
        if slopes:
            store(slopes + j * size(like), one - t * t)


@_piece
def _add_bias(
    p: Any, h: Any, x: Any, i: Any, first: Any, count: Any, spare: Any, like: Any
) -> None:
    there = min(count, p.keys - first)
    source = h.bias + i * p.bias_row + first * p.bias_col
    bias = _side_by_side(source, p.bias_col, there, count, spare, like)
    for j in range(0, count, width(like)):
        place = x + j * size(like)
        store(place, load(place, like) + load(bias + j * size(like), like))


@_piece
def _add_slope(h: Any, x: Any, i: Any, first: Any, count: Any, like: Any) -> None:
    """x -= slope * |i + shift - j|."""
    down = spread(-h.slope, like)
    lanes = iota(like)
    for j in range(0, count, width(like)):
        place = x + j * size(like)
        far = absolute(lanes + spread(first + j - i - h.shift, like))
        store(place, fma(down, far, load(place, like)))


@_piece
def _apply_mask(
    p: Any, h: Any, x: Any, i: Any, first: Any, count: Any, spare: Any, like: Any
) -> None:
    there = min(count, p.keys - first)
    source = h.mask + i * p.mask_row + first * p.mask_col
    mask = _side_by_side(source, p.mask_col, there, count, spare, _BYTE)
    for j in range(0, count, width(like)):
        place = x + j * size(like)
        store(place, keep(mask + j, load(place, like)))


@_piece
def finish_scores(
    p: Any, h: Any, x: Any, i: Any, first: Any, count: Any, spare: Any, slopes: Any, like: Any
) -> None:
    """From scaled q.k to logits of row i, keys first .. first + count (a multiple of the register):
    masked ones are -inf."""
    if p.softcap > 0:
        _cap(p, x, count, slopes, like)
    if h.bias:
        _add_bias(p, h, x, i, first, count, spare, like)
    if p.alibi:
        _add_slope(h, x, i, first, count, like)
    if h.mask:
        _apply_mask(p, h, x, i, first, count, spare, like)
    low, high = reach(p, h, i)
    nothing = cast(-math.inf, like)
    fill(x, min(count, low - first), nothing)
    start = max(0, high - first)
    fill(x + start * size(like), count - start, nothing)


@_piece
def softmax_row(x: Any, count: Any, power: Any, top: Any, like: Any) -> Any:
    """x becomes 2^(power x - base), where base belongs to the highest logit so far; gives that
    logit, base and the sum. `count` is a multiple of two registers."""
    w, s = width(like), size(like)
    highs = spread(-math.inf, like)
    highs2 = highs
    for j in range(0, count, 2 * w):
        highs = highest(load(x + j * s, like), highs)
        highs2 = highest(load(x + (j + w) * s, like), highs2)
    top = max(top, peak(highest(highs, highs2)))
    base = top * cast(power, like) if top > -math.inf else cast(0, like)
    factor, less = spread(power, like), spread(-base, like)
    sums = spread(0, like)
    sums2 = sums
    for j in range(0, count, 2 * w):
        e = exp2(fma(load(x + j * s, like), factor, less))
        e2 = exp2(fma(load(x + (j + w) * s, like), factor, less))
        store(x + j * s, e)
        store(x + (j + w) * s, e2)
        sums, sums2 = sums + e, sums2 + e2
    return top, base, total(sums + sums2)


@_piece
def attends(x: Any, count: Any, like: Any) -> Any:
    """Whether any logit is unmasked."""
    found = False
    for j in range(count):
        found |= peek(x + j * size(like), like) != -math.inf
    return found


@_piece
def meets_bad_key(k_flags: Any, v_flags: Any, x: Any, count: Any, like: Any) -> Any:
    """Whether an unmasked logit belongs to a key whose row of k or v is not finite."""
    for j in range(count):
        bad = peek(k_flags + j, _BYTE) or peek(v_flags + j, _BYTE)
        if bad and peek(x + j * size(like), like) != -math.inf:
            return True
    return False
