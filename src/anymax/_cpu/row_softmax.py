"""Softmax, log-softmax and logsumexp along rows, forward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from anymax._cpu import short
from anymax._cpu.arrays import (
    borrow,
    empty,
    kept_rows,
    put_rows,
    room_for_rows,
    take_rows,
)
from anymax._cpu.blocks import each_block, each_chunk, is_long
from anymax._cpu.jit import Kernel, bare, const, jit, keep
from anymax._cpu.row_softmax_backward import (
    log_softmax_backward,
    softmax_backward,
)
from anymax._cpu.rows import BLOCK, GROUP, SHORT, exp_row, poison, sums
from anymax._cpu.simd import wide

__all__ = [
    "LANE",
    "lane",
    "log_lane",
    "log_softmax",
    "log_softmax_backward",
    "long_sums",
    "row_sums",
    "softmax",
    "softmax_backward",
    "softmax_given",
    "softmax_rows",
    "types_of",
]

LANE = 16_384  # cells up to which a call on this thread alone is fastest
_EVERY = np.ones((1, 1), np.uint8)
_lanes: dict[Any, Any] = {}


@jit(cache=False)
def _inverse(s):
    """1 / s; 0 for an empty row, whose exponentials are 0 too."""
    return 1.0 / s if s > 0.0 else 0.0


@jit(cache=False)
def _poison_row(x, w, y, scale, r):
    poison(x[r], w[r if w.shape[0] > 1 else 0], y[r], scale, x.dtype.type(0))


@jit(cache=False, contract=False, reassoc=False)
def _log_weights(x, w, y, scale, m, s):
    """y = z - m - log s, -inf in the cells left out."""
    wide()
    low = x.dtype.type(-np.inf)
    if not s < np.inf:
        poison(x, w, y, scale, low)
        return
    base = m if m > low else x.dtype.type(0)
    log = x.dtype.type(math.log(s) if s > 0.0 else 0.0)
    if w.size > 1:
        for j in range(x.size):
            z = x[j] * scale - base - log
            y[j] = z if w[j] else low
    elif w[0]:
        for j in range(x.size):
            y[j] = x[j] * scale - base - log
    else:
        y[:] = low


def types_of(*names: str) -> Any:
    def args(cell: Any) -> Any:
        kinds = {
            "rows": const(cell, 2),
            "mask": const(types.uint8, 2),
            "out": cell[:, ::1],
            "each": cell[::1],
            "sum": types.float64[::1],
            "scale": cell,
        }
        return tuple(kinds[name] for name in names)

    return args


@jit(args=types_of("rows", "mask", "out", "scale"))
def softmax_rows(x, w, y, scale):
    wide()
    x, w, y = bare(x), bare(w), bare(y)
    count, n = x.shape
    step = 1 if n > SHORT else min(count, GROUP // n)
    maxima, totals = np.empty(step, x.dtype), np.empty(step, np.float64)
    scratch = np.empty(0 if n > SHORT else step * n, x.dtype)
    m, s, e = bare(maxima), bare(totals), bare(scratch)
    for g in range(0, count, step):
        size = min(step, count - g)
        if n > SHORT:
            sums(x, w, y[g], m, s, scale, g)
            short.multiply(y, g * n, y, g * n, n, x.dtype.type(_inverse(s[0])))
        else:
            sums(x, w, e[: size * n], m[:size], s[:size], scale, g)
            for i in range(size):
                short.multiply(e, i * n, y, (g + i) * n, n, x.dtype.type(_inverse(s[i])))
        for i in range(size):
            if (
                not s[i] < np.inf
            ):  # rare, and a call here for every row would cost as much as the row
                _poison_row(x, w, y, scale, g + i)
    keep(scratch)
    keep(maxima)
    keep(totals)


@jit(args=types_of("rows", "mask", "each", "sum", "scale"))
def sum_rows(x, w, m, s, scale):
    """Largest cells and sums of exponentials."""
    wide()
    x, w, m, s = bare(x), bare(w), bare(m), bare(s)
    count, n = x.shape
    step = 1 if n > SHORT else min(count, GROUP // n)
    scratch = np.empty(BLOCK if n > SHORT else step * n, x.dtype)
    e = bare(scratch)
    for g in range(0, count, step):
        h = min(count, g + step)
        sums(x, w, e if n > SHORT else e[: (h - g) * n], m[g:h], s[g:h], scale, g)
    keep(scratch)


@jit(args=types_of("rows", "mask", "each", "sum", "out", "scale"))
def softmax_given(x, w, m, s, y, scale):
    """Weights from known maxima and sums."""
    wide()
    x, w, y = bare(x), bare(w), bare(y)
    for r in range(x.shape[0]):
        mask = w[r if w.shape[0] > 1 else 0]
        exp_row(x[r], mask, y[r], scale, m[r])
        n = x.shape[1]
        short.multiply(y, r * n, y, r * n, n, x.dtype.type(_inverse(s[r])))
        if not s[r] < np.inf:
            _poison_row(x, w, y, scale, r)


@jit(args=types_of("rows", "mask", "each", "sum", "out", "scale"))
def log_softmax_given(x, w, m, s, y, scale):
    """Log-weights from known maxima and sums."""
    wide()
    x, w, y = bare(x), bare(w), bare(y)
    for r in range(x.shape[0]):
        _log_weights(x[r], w[r if w.shape[0] > 1 else 0], y[r], scale, m[r], s[r])


def row_sums(w: Any, x: Any, scale: float) -> tuple[Any, Any]:
    m, s = np.empty(x.shape[0], x.dtype), np.empty(x.shape[0])
    sum_rows.code(x.dtype)(x, w, m, s, scale)
    return m, s


def _joined(parts: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Maximum and sum of a row from those of its chunks, in their order."""
    top = max(m[0] for m, _ in parts)
    if top == np.inf:
        s = np.nan if any(s[0] != s[0] for _, s in parts) else np.inf
    else:
        s = sum(s[0] * math.exp(m[0] - top) if m[0] > -np.inf else s[0] for m, s in parts)
    return np.array([top], parts[0][0].dtype), np.array([s])


def long_sums(x: Any, w: Any, r: int, scale: float) -> tuple[Any, Any]:
    return _joined(each_chunk(lambda w, a, _: row_sums(w, a[0], scale), r, w, [x], []))


def _map(x: Any, where: Any, axis: Any, scale: float, whole: Any, given: Kernel) -> Any:
    """Weights of every row by `whole`, or of huge rows by `given` once their sums are known."""
    out = empty(x.shape, None, x)
    source, target = borrow(x), borrow(out)
    if source.size == 0:
        return out
    flat, w = take_rows(source, axis), kept_rows(where, source.shape, axis)
    y = room_for_rows(target, axis)
    if is_long(flat):
        for r in range(flat.shape[0]):
            m, s = long_sums(flat, w, r, scale)

            def finish(w: Any, a: Any, b: Any, m: Any = m, s: Any = s) -> None:
                given.code(a[0].dtype)(a[0], w, m.astype(a[0].dtype), s, b[0], scale)

            each_chunk(finish, r, w, [flat], [y])
    else:
        each_block(lambda w, a, b: whole(a[0], w, b[0], scale), w, [flat], [y])
    put_rows(y, target, axis)
    return out


def _log_block(x: Any, w: Any, y: Any, scale: float) -> None:
    log_softmax_given.code(x.dtype)(x, w, *row_sums(w, x, scale), y, scale)


def _block(x: Any, w: Any, y: Any, scale: float) -> None:
    softmax_rows.code(x.dtype)(x, w, y, scale)


def softmax(x: Any, where: Any, /, *, axis: Any, scale: float) -> Any:
    """Weights exp(z) / sum exp(z) of z = scale * x along the axes; see the primitive
    row_softmax."""
    return _map(x, where, axis, scale, _block, softmax_given)


def log_softmax(x: Any, where: Any, /, *, axis: Any, scale: float) -> Any:
    """Logarithms of the weights; see the primitive row_log_softmax."""
    return _map(x, where, axis, scale, _log_block, log_softmax_given)


def lane(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Softmax along the last axis of a C-contiguous float32 or float64 array with cells in it.

    The short way for small calls: nothing is checked.
    """
    if x.size > LANE:
        return softmax(x, None, axis=x.ndim - 1, scale=1.0)
    y = np.empty_like(x)
    code = _lanes.get(x.dtype) or _lanes.setdefault(x.dtype, softmax_rows.code(x.dtype))
    if x.ndim == 2:
        code(x, _EVERY, y, 1.0)
    else:
        n = x.shape[-1]
        code(x.reshape(-1, n), _EVERY, y.reshape(-1, n), 1.0)
    return y


def log_lane(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Log-softmax the short way, as `lane`."""
    if x.size > LANE:
        return log_softmax(x, None, axis=x.ndim - 1, scale=1.0)
    y = np.empty_like(x)
    n = x.shape[-1]
    _log_block(x.reshape(-1, n), _EVERY, y.reshape(-1, n), 1.0)
    return y
