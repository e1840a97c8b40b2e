"""Threshold maps of one huge row at a time, chunks of it on all threads."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types

from anymax._cpu.blocks import each_chunk
from anymax._cpu.jit import bare, const, jit, keep
from anymax._cpu.row_threshold_kinds import LOG_SIGMOID, SIGMOID
from anymax._cpu.row_threshold_pieces import blocks, extent, top
from anymax._cpu.row_threshold_rows import (
    bound_of,
    fits,
    scaled_sums,
    sigmoids_of,
    values_of,
    write_row,
)
from anymax._cpu.row_threshold_solve import solve, step_sigmoid
from anymax._cpu.rows import exp_row, poison
from anymax._cpu.simd import wide

__all__ = ["write_long"]

_EMPTY = {"f": -np.inf, "i": np.float16(-np.inf).view(np.int16), "u": 0xFF80}  # bits of -inf


def _types(*names: str) -> Any:
    def args(cell: Any) -> Any:
        kinds = {
            "rows": const(cell, 2),
            "mask": const(types.uint8, 2),
            "out": cell[:, ::1],
            "tops": cell[::1],
            "wide": types.float64[::1],
            "kind": types.int64,
            "number": types.float64,
        }
        return tuple(kinds[name] for name in names)

    return args


# -- pieces of a row, one chunk a call; each array of rows has one -------------------------------


@jit(args=_types("rows", "mask", "tops", "wide"))
def long_look(x, w, tops, out):
    """Largest and smallest cell that takes part, their number, whether one is bad; block maxima."""
    wide()
    m, bad = top(bare(x)[0], bare(w)[0], bare(tops))
    lowest, count = extent(bare(x)[0], bare(w)[0])
    out[0], out[1], out[2], out[3] = m, lowest, count, bad


@jit(args=_types("tops", "number", "number", "kind", "number", "wide", "wide"))
def long_bound(tops, m, a, kind, scale, values, out):
    wide()
    out[0] = bound_of(bare(tops), m, a, kind, scale, bare(values))


@jit(args=_types("rows", "mask", "wide", "wide", "number", "number", "kind", "number"))
def long_values(x, w, values, out, m, a, kind, scale):
    """Gather what is above the bound in out[0]; how many there are replaces it."""
    wide()
    maxima = np.empty(blocks(x.shape[1]), x.dtype)
    x, w, tops, values = bare(x)[0], bare(w)[0], bare(maxima), bare(values)
    top(x, w, tops)
    out[0] = values_of(x, w, tops, m, a, kind, scale, out[0], values)
    keep(maxima)


@jit(args=_types("tops", "wide", "wide", "kind", "number", "number", "number"))
def long_solve(like, values, out, kind, a, n, start):
    wide()
    out[0], out[1], out[2] = solve(bare(values), kind, a, n, start)


@jit(args=_types("rows", "mask", "out", "number", "wide", "kind", "number", "number"))
def long_write(x, w, y, m, found, kind, a, scale):
    wide()
    maxima = np.empty(blocks(x.shape[1]), x.dtype)
    x, w, y, tops = bare(x)[0], bare(w)[0], bare(y)[0], bare(maxima)
    top(x, w, tops)
    write_row(x, w, tops, y, m, scale, kind, a, found[0], found[1], found[2])
    keep(maxima)


@jit(args=_types("rows", "mask", "out", "kind"))
def long_poison(x, w, y, kind):
    cell = x.dtype.type
    poison(x[0], w[0], y[0], cell(1), cell(-np.inf) if kind == LOG_SIGMOID else cell(0))


@jit(args=_types("rows", "mask", "out", "wide", "number", "number"))
def long_exps(x, w, y, out, m, scale):
    wide()
    cell = x.dtype.type
    out[0] = exp_row(bare(x)[0], bare(w)[0], bare(y)[0], cell(scale), cell(m) * cell(scale))


@jit(args=_types("rows", "wide", "number"))
def long_sums(y, out, s):
    wide()
    out[0], out[1], out[2] = scaled_sums(bare(y)[0], y.dtype.type(s))


@jit(args=_types("rows", "out", "number"))
def long_sigmoids(y, out, s):
    wide()
    sigmoids_of(bare(y)[0], bare(out)[0], y.dtype.type(s))


# -- a row ---------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """A huge row: cells, mask and result, each (1, length) or (1, 1), and what is wanted of it."""

    x: Any
    w: Any
    y: Any
    a: float
    kind: int
    scale: float

    def each(self, task: Any, inputs: Any, outputs: Any) -> Any:
        return each_chunk(task, 0, self.w, inputs, outputs)

    @property
    def cell(self) -> Any:
        return np.dtype(np.float64 if self.x.dtype == np.float64 else np.float32)


class _Seen(NamedTuple):
    tops: Any
    m: float
    low: float
    cells: float
    bad: bool


def write_long(x: Any, w: Any, y: Any, r: int, a: float, kind: int, scale: float) -> None:
    """Weights of row r of x, into row r of y."""
    row = _Row(x[r : r + 1], w[r % w.shape[0]][None], y[r : r + 1], a, kind, scale)
    seen = _look(row)
    if seen.bad:

        def poisoned(w: Any, a: Any, b: Any) -> None:
            long_poison.code(a[0].dtype)(a[0], w, b[0], kind)

        row.each(poisoned, [row.x], [row.y])
    elif seen.cells == 0:
        row.y[:] = _EMPTY[y.dtype.kind] if kind == LOG_SIGMOID else 0
    elif kind >= SIGMOID and fits.py_func(
        (seen.m - seen.low) * scale, seen.cells, a, row.cell.itemsize == 4
    ):
        _short_cut(row, seen)
    else:
        _write(row, seen, _solved(row, seen))


def _look(row: _Row) -> _Seen:
    def look(w: Any, a: Any, b: Any) -> Any:
        out, tops = np.empty(4), np.empty(blocks.py_func(a[0].shape[1]), a[0].dtype)
        long_look.code(a[0].dtype)(a[0], w, tops, out)
        return out, tops

    parts = row.each(look, [row.x], [])
    m, low, count, bad = np.stack([out for out, _ in parts]).T
    tops = np.concatenate([tops for _, tops in parts])
    return _Seen(tops, float(m.max()), float(low.min()), float(count.sum()), bool(bad.any()))


def _solved(row: _Row, seen: _Seen) -> Any:
    _, _, _, a, kind, scale = row
    start, out = np.empty(1), np.empty(3)
    room = np.empty(seen.tops.size + 1)
    long_bound.code(row.cell)(seen.tops, seen.m, a, kind, scale, room, start)

    def values(w: Any, rows: Any, b: Any) -> Any:
        found, count = np.empty(rows[0].shape[1] + 1), start.copy()
        long_values.code(rows[0].dtype)(rows[0], w, found, count, seen.m, a, kind, scale)
        return found[: int(count[0])]

    every = np.concatenate(row.each(values, [row.x], []))
    long_solve.code(row.cell)(seen.tops, every, out, kind, a, seen.cells, start[0])
    return out


def _write(row: _Row, seen: _Seen, found: Any) -> None:
    _, _, _, a, kind, scale = row

    def write(w: Any, rows: Any, b: Any) -> None:
        long_write.code(rows[0].dtype)(rows[0], w, b[0], seen.m, found, kind, a, scale)

    row.each(write, [row.x], [row.y])


def _short_cut(row: _Row, seen: _Seen) -> None:
    """Exponentials once, then steps on them; in the room of the result if that is wide enough."""
    e = row.y if row.y.dtype == row.cell else np.empty(row.x.shape, row.cell)

    def exps(w: Any, a: Any, b: Any) -> float:
        out = np.empty(1)
        long_exps.code(a[0].dtype)(a[0], w, b[0], out, seen.m, row.scale)
        return float(out[0])

    t = _sigmoid_threshold(row, seen, e, sum(row.each(exps, [row.x], [e])))
    if row.kind == LOG_SIGMOID:
        _write(row, seen, np.asarray([t, 0.0, 1.0]))
        return

    def finish(w: Any, a: Any, b: Any) -> None:
        long_sigmoids.code(a[0].dtype)(a[0], b[0], math.exp(-t))

    row.each(finish, [e], [row.y])


def _sigmoid_threshold(row: _Row, seen: _Seen, e: Any, s: float) -> float:
    """As for shorter rows, the sums of each step from all threads."""
    k = row.a
    shift, spread = math.log(k) - math.log(seen.cells - k), (seen.m - seen.low) * row.scale
    lo, hi = -shift - spread, -max(shift, math.log(k) - math.log(s))
    t, last, close = hi, math.inf, 1e-4 if row.cell.itemsize == 4 else 1e-8

    def sums(w: Any, a: Any, b: Any) -> Any:
        out = np.empty(3)
        long_sums.code(a[0].dtype)(a[0], out, math.exp(-t))
        return out

    for _ in range(100):
        rest, ones, slope = (float(v) for v in np.sum(row.each(sums, [e], []), axis=0))
        value = (ones - k) + rest
        if value == 0.0:
            break
        lo, hi = (t, hi) if value > 0.0 else (lo, t)
        before = t
        state = (rest, ones, max(slope, 1e-300), k, lo, hi, t, last)  # Python divides by no 0
        t, last = step_sigmoid.py_func(*state)
        if abs(t - before) <= close:
            break
    return t
