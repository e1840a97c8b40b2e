"""Truncations of rows by selection, without a sort; see the primitive row_cut."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from anymax._cpu.arrays import borrow, empty, kept_rows, put_rows, room_for_rows, take_rows
from anymax._cpu.blocks import each_block
from anymax._cpu.jit import bare, const, jit, keep
from anymax._cpu.row_threshold_kinds import parameters
from anymax._cpu.row_threshold_pieces import blocks, extent, gather, top
from anymax._cpu.rows import BLOCK as SUM_BLOCK
from anymax._cpu.rows import exp_row
from anymax._cpu.simd import wide

__all__ = ["backward", "forward"]

TOP_K, TOP_K_STRICT, TOP_P, MIN_P = range(4)
_KINDS = {"top_k": TOP_K, "top_k_strict": TOP_K_STRICT, "top_p": TOP_P, "min_p": MIN_P}
_FEW = 512  # candidates that are few enough to be sorted


@jit(cache=False)
def _kth_largest(values, k):
    return np.partition(values, values.size - k)[values.size - k]


@jit(cache=False)
def _above(x, limit, y):
    wide()
    for j in range(x.size):
        y[j] = x[j] > limit


@jit(cache=False)
def _also(y, w):
    wide()
    for j in range(y.size):
        y[j] = y[j] & (w[j] != 0)


@jit(cache=False)
def _mark(x, w, y, limit, ties):
    """Mark what is above a limit, and the first `ties` entries that are equal to it."""
    _above(x, limit, y)
    if w.size > 1:
        _also(y, w)
    for j in range(x.size):
        if ties <= 0:
            break
        if x[j] == limit and (w[j] if w.size > 1 else w[0]):
            y[j] = 1
            ties -= 1


@jit(cache=False)
def _larger(values, limit):
    n = 0
    for j in range(values.size):
        n += values[j] > limit
    return n


@jit(cache=False)
def _top_k(x, w, tops, k, strict, values, y):
    """The k-th largest of the blocks' largest has k entries that are not below it: few others need
    to be looked at."""
    n = 0
    for b in range(tops.size):
        values[n] = tops[b]
        n += tops[b] > x.dtype.type(-np.inf)
    limit = np.nextafter(_kth_largest(values[:n], k), -np.inf) if k <= n else -np.inf
    found = values[: gather(x, w, tops, 0.0, limit, 1.0, values)]
    last = _kth_largest(found, k)
    _mark(x, w, y, x.dtype.type(last), k - _larger(found, last) if strict else x.size)


@jit(cache=False)
def _mass_block(x, e, limit):
    wide()
    s = zero = e.dtype.type(0)
    for j in range(x.size):
        s += e[j] if x[j] > limit else zero
    return s


@jit(cache=False)
def _count_block(x, limit):
    wide()
    n = np.int32(0)
    for j in range(x.size):
        n += np.int32(x[j] > limit)
    return n


@jit(cache=False)
def _mass(x, e, limit):
    """Mass and number of the entries above a limit; masked ones have no mass."""
    s, n = 0.0, 0
    for b in range(0, x.size, SUM_BLOCK):
        part = x[b : b + SUM_BLOCK]
        s += _mass_block(part, e[b : b + SUM_BLOCK], limit)
        n += _count_block(part, limit)
    return s, n


@jit(cache=False)
def _top_p(x, w, tops, m, lowest, p, scale, e, values, y):
    """Halve the values between which the mass p is reached, then sort what lies between.

    Gives how many entries are kept.
    """
    cell = x.dtype.type
    goal = p * exp_row(x, w, e, cell(scale), cell(m) * cell(scale))
    lo, hi = np.float64(np.nextafter(cell(lowest), cell(-np.inf))), np.float64(m)
    above, below, over, inside = 0.0, x.size, 0, x.size
    for _ in range(60):
        middle = cell(0.5 * (lo + hi))
        if inside <= _FEW or not (lo < middle < hi):
            break
        mass, n = _mass(x, e, middle)
        if mass < goal:
            hi, above, over = np.float64(middle), mass, n
        else:
            lo, below = np.float64(middle), n
        inside = below - over
    # every entry above hi stays, and of those above lo and not above hi the largest
    found = values[: gather(x, w, tops, 0.0, lo, 1.0, values)]
    k = more = 0
    for j in range(found.size):
        v = found[j]
        more += v > hi
        found[k] = v
        k += v <= hi
    rest = np.sort(found[:k])
    count, last = 0, hi
    for j in range(k - 1, -1, -1):
        if not above < goal:
            break
        last = rest[j]
        above += np.exp(scale * (last - m))
        count += 1
    ties = 0
    for j in range(k - count, k):
        ties += rest[j] == last
    _mark(x, w, y, cell(last), ties)
    return more + count


@jit(cache=False)
def _near(x, m, scale, limit, y):
    wide()
    for j in range(x.size):
        chosen = (x[j] - m) * scale >= limit
        y[j] = chosen & (x[j] > x.dtype.type(-np.inf))


@jit(cache=False)
def _min_p(x, w, m, fraction, scale, y):
    """Mark what has at least a fraction of the largest weight; gives how many there are."""
    cell = x.dtype.type
    _near(x, m, cell(scale), cell(math.log(fraction) if fraction > 0.0 else -np.inf), y)
    if w.size > 1:
        _also(y, w)
    return _marked(y)


@jit(cache=False)
def _marked(y):
    wide()
    n = np.int32(0)
    for j in range(y.size):
        n += y[j]
    return n


@jit(cache=False)
def _everything(x, w, y):
    for j in range(x.size):
        y[j] = x[j] != x.dtype.type(-np.inf) and (w[j] if w.size > 1 else w[0]) != 0


@jit(cache=False)
def _one_row(x, w, tops, a, kind, least, scale, e, values, y):
    m, bad = top(x, w, tops)
    lowest, n = extent(x, w)
    by_rank = kind <= TOP_K_STRICT
    k = np.int64(min(a, x.size)) if by_rank else least
    if bad or k >= n or (kind == TOP_P and a >= 1.0):
        _everything(x, w, y)
    elif by_rank:
        _top_k(x, w, tops, k, kind == TOP_K_STRICT, values, y)
    else:
        count = 0
        if kind == MIN_P:
            count = _min_p(x, w, m, a, scale, y)
        elif a > 0.0:
            count = _top_p(x, w, tops, m, lowest, a, scale, e, values, y)
        if count < least:
            _top_k(x, w, tops, least, True, values, y)


def _types(cell: Any) -> Any:
    return (
        const(cell, 2),
        const(types.uint8, 2),
        const(types.float64, 1),
        types.uint8[:, ::1],
        types.int64,
        types.int64,
        types.float64,
    )


@jit(args=_types)
def cut_rows(x, w, a, y, kind, least, scale):
    """Mark what is kept of every row."""
    wide()
    x, w, a, y = bare(x), bare(w), bare(a), bare(y)
    size = x.shape[1]
    scratch, maxima = np.empty(size + 1), np.empty(blocks(size), x.dtype)
    weights = np.empty(size if kind == TOP_P else 0, x.dtype)
    values, tops, e = bare(scratch), bare(maxima), bare(weights)
    for r in range(x.shape[0]):
        mask = w[r if w.shape[0] > 1 else 0]
        _one_row(x[r], mask, tops, a[r], kind, least, scale, e, values, y[r])
    keep(scratch)
    keep(maxima)
    keep(weights)


def forward(
    x: Any, where: Any, parameter: Any, /, *,
    axis: Any, kind: str, value: float, least: int, scale: float,
) -> Any:  # fmt: skip
    """What is kept of rows; see the primitive row_cut."""
    source = borrow(x)
    out = empty(x.shape, _boolean(x), x)
    target = borrow(out)
    if source.size == 0:
        return out
    flat, w = take_rows(source, axis), kept_rows(where, source.shape, axis)
    a = parameters(parameter, value, source.shape, axis, flat.shape[0])
    y = room_for_rows(target, axis).view(np.uint8)

    def rows(w: Any, a: Any, b: Any) -> None:
        cut_rows.code(a[0].dtype)(a[0], w, a[1], b[0], _KINDS[kind], least, scale)

    each_block(rows, w, [flat, a], [y])
    put_rows(y.view(np.bool_), target, axis)
    return out


def _boolean(x: Any) -> Any:
    if isinstance(x, (np.ndarray, np.generic)):
        return np.bool_
    import torch

    return torch.bool


def backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, **options: Any
) -> tuple[None, None, None]:
    """Nothing: what is kept is piecewise constant."""
    return None, None, None
