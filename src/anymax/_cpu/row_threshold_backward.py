"""Gradients of threshold maps from their weights: two sums a row, then every cell.

With b the slope of each weight (p ** (2 - alpha), 1 inside a budget, p (1 - p)) a gradient is
c * (b * (g - mean) - p * spread); the logarithm's is 1 - p times (g - p * mean).  Rows of NaN have
gradient 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from anymax._cpu.arrays import borrow, empty, put_rows, room_for_rows, take_rows
from anymax._cpu.blocks import each_block, each_chunk, is_long
from anymax._cpu.jit import bare, const, jit
from anymax._cpu.row_softmax_backward import zeros
from anymax._cpu.row_threshold_kinds import (
    BUDGET,
    KINDS,
    LOG_SIGMOID,
    NORMMAX,
    SIGMOID,
    parameters,
)
from anymax._cpu.row_threshold_pieces import log
from anymax._cpu.rows import BLOCK
from anymax._cpu.simd import exp, wide

__all__ = ["backward"]

_SUMS = 4


@jit(cache=False)
def _power(p, e):
    """p ** e for p > 0, else 0."""
    live = p > 0.0
    t = exp(log(p if live else 1.0) * e)
    return t if live else 0.0


@jit(cache=False)
def _slopes(p, b, kind, a):
    """The slopes b of a block of weights (of logarithms of weights for the logarithm)."""
    wide()
    cell = p.dtype.type
    zero, one = cell(0), cell(1)
    if kind == BUDGET:
        for j in range(p.size):
            b[j] = one if (p[j] > zero) & (p[j] < one) else zero
    elif kind == SIGMOID:
        for j in range(p.size):
            b[j] = p[j] * (one - p[j])
    elif kind == LOG_SIGMOID:
        for j in range(p.size):
            w = exp(p[j])
            b[j] = w * (one - w)
    elif a == 2.0:
        for j in range(p.size):
            b[j] = one if p[j] > zero else zero
    elif a == 1.5:
        for j in range(p.size):
            b[j] = np.sqrt(p[j] if p[j] > zero else zero)
    else:
        for j in range(p.size):
            b[j] = cell(_power(np.float64(p[j]), 2.0 - a))


@jit(cache=False)
def _two_sums(b, g):
    """Sums of b and of b * g, cells with b = 0 left out."""
    wide()
    s = d = zero = b.dtype.type(0)
    for j in range(b.size):
        s += b[j]
        t = b[j] * g[j]
        d += t if b[j] != zero else zero
    return s, d


@jit(cache=False)
def _log_sum(y, g):
    """Sum of (1 - p) * g."""
    wide()
    one, low, zero = y.dtype.type(1), y.dtype.type(-np.inf), y.dtype.type(0)
    d = zero
    for j in range(y.size):
        t = (one - exp(y[j])) * g[j]
        d += t if y[j] > low else zero
    return d


@jit(cache=False)
def _power_sum(p, e):
    wide()
    s = 0.0
    for j in range(p.size):
        s += _power(np.float64(p[j]), e)
    return s


def _reduce(cell: Any) -> Any:
    rows = const(cell, 2)
    return rows, rows, const(types.float64, 1), types.float64[:, ::1], types.int64


@jit(args=_reduce)
def threshold_sums(p, g, a, out, kind):
    """Sums of b, b * g, g * p and p ** a along rows, the last two for normmax alone."""
    wide()
    p, g, a, out = bare(p), bare(g), bare(a), bare(out)
    b = np.empty(BLOCK, p.dtype)
    for r in range(p.shape[0]):
        s = d = whole = mean = 0.0
        for j in range(0, p.shape[1], BLOCK):
            here, there = p[r, j : j + BLOCK], g[r, j : j + BLOCK]
            slopes = b[: here.size]
            _slopes(here, slopes, kind, a[r])
            one, other = _two_sums(slopes, there)
            s += one
            d += _log_sum(here, there) if kind == LOG_SIGMOID else other
            if kind == NORMMAX:
                mean += _two_sums(here, there)[1]
                whole += _power_sum(here, a[r])
        out[r, 0], out[r, 1], out[r, 2], out[r, 3] = s, d, mean, whole


@jit(cache=False)
def _factors(sums, kind, a):
    """c, mean and spread of the formula above."""
    s, d, mean, whole = sums[0], sums[1], sums[2], sums[3]
    if kind == NORMMAX:
        c = whole ** (1.0 - 1.0 / a) / (a - 1.0) if whole > 0.0 else 0.0
        return c, mean, d - mean * s
    return 1.0, d / s if s > 0.0 else (0.0 if s == 0.0 else s), 0.0


@jit(cache=False)
def _pull(p, b, g, dx, c, mean, spread):
    wide()
    zero = p.dtype.type(0)
    for j in range(p.size):
        t = c * (b[j] * (g[j] - mean) - p[j] * spread)
        dx[j] = t if p[j] > zero else zero


@jit(cache=False)
def _pull_log(y, g, dx, scale, mean):
    wide()
    one, low, zero = y.dtype.type(1), y.dtype.type(-np.inf), y.dtype.type(0)
    for j in range(y.size):
        p = exp(y[j])
        t = scale * (one - p) * (g[j] - p * mean)
        dx[j] = t if y[j] > low else zero


def _pull_types(cell: Any) -> Any:
    rows, wide_rows = const(cell, 2), const(types.float64, 2)
    parameters = const(types.float64, 1)
    return rows, rows, parameters, wide_rows, cell[:, ::1], types.int64, types.float64


@jit(args=_pull_types)
def threshold_pull(p, g, a, sums, dx, kind, scale):
    """Gradients of rows from their sums."""
    wide()
    p, g, a, sums, dx = bare(p), bare(g), bare(a), bare(sums), bare(dx)
    cell = p.dtype.type
    b = np.empty(BLOCK, p.dtype)
    for r in range(p.shape[0]):
        c, mean, spread = _factors(sums[r], kind, a[r])
        for j in range(0, p.shape[1], BLOCK):
            here, there, out = p[r, j : j + BLOCK], g[r, j : j + BLOCK], dx[r, j : j + BLOCK]
            if kind == LOG_SIGMOID:
                _pull_log(here, there, out, cell(scale), cell(mean))
            else:
                slopes = b[: here.size]
                _slopes(here, slopes, kind, a[r])
                _pull(here, slopes, there, out, cell(c * scale), cell(mean), cell(spread))


def backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, *,
    axis: Any, kind: str, value: float, scale: float,
) -> tuple[Any, None, None]:  # fmt: skip
    """Gradient of the logits from the weights and their cotangent."""
    y, g = outputs[0], cotangents[0]
    if not needs[0]:
        return None, None, None
    out = empty(y.shape, None, y)
    target = borrow(out)
    if g is None or target.size == 0:
        return zeros(y), None, None
    shape = tuple(y.shape)
    y, g, dx = take_rows(borrow(y), axis), take_rows(borrow(g), axis), room_for_rows(target, axis)
    a = parameters(operands[2], value, shape, axis, y.shape[0])
    _rows_back(y, g, a, dx, KINDS[kind], scale)
    put_rows(dx, target, axis)
    return out, None, None


def _rows_back(y: Any, g: Any, a: Any, dx: Any, kind: int, scale: float) -> None:
    every = np.ones((1, 1), np.uint8)

    def reduced(rows: Any, a: Any) -> Any:
        sums = np.empty((rows[0].shape[0], _SUMS))
        threshold_sums.code(rows[0].dtype)(rows[0], rows[1], a, sums, kind)
        return sums

    def pulled(sums: Any, rows: Any, a: Any, b: Any) -> None:
        threshold_pull.code(rows[0].dtype)(rows[0], rows[1], a, sums, b[0], kind, scale)

    if not is_long(y):
        each_block(lambda w, r, b: pulled(reduced(r, r[2]), r, r[2], b), every, [y, g, a], [dx])
        return
    for r in range(y.shape[0]):
        mine = a[r : r + 1]

        def some(w: Any, rows: Any, b: Any, mine: Any = mine) -> Any:
            return reduced(rows, mine)

        sums = np.sum(each_chunk(some, r, every, [y, g], []), axis=0)

        def part(w: Any, rows: Any, b: Any, sums: Any = sums, mine: Any = mine) -> None:
            pulled(sums, rows, mine, b)

        each_chunk(part, r, every, [y, g], [dx])
