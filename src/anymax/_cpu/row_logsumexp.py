"""Logsumexp of rows and its gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anymax._cpu.arrays import (
    as_floats,
    borrow,
    empty,
    fill,
    flat_room,
    kept_rows,
    put_rows,
    room_for_rows,
    take_rows,
)
from anymax._cpu.blocks import each_block, each_chunk, is_long
from anymax._cpu.jit import bare, jit
from anymax._cpu.row_softmax import LANE, long_sums, row_sums, softmax_given, softmax_rows, types_of
from anymax._cpu.row_softmax_backward import zeros
from anymax._cpu.simd import rare, wide

__all__ = ["lane", "logsumexp", "logsumexp_backward"]

_EVERY = np.ones((1, 1), np.uint8)


@jit(cache=False, contract=False)
def _close(x, w, scale, m, s):
    """m + log s where both are near 0 and their digits would be lost: one term is split off."""
    rare()
    rest, tops = 0.0, 0
    for j in range(x.size):
        z = x[j] * scale
        if w[j] if w.size > 1 else w[0]:
            if z == m:
                tops += 1
            else:
                rest += math.exp(np.float64(z) - m)
    return m + math.log(tops) + math.log1p(rest / tops)


@jit(args=types_of("rows", "mask", "each", "sum", "each", "scale"))
def logsumexp_given(x, w, m, s, y, scale):
    """y = m + log s from known maxima and sums."""
    wide()
    x, w = bare(x), bare(w)
    for r in range(y.size):
        if abs(m[r]) < 0.01 and s[r] < 1.01 and s[r] > 0.0:
            y[r] = _close(x[r], w[r if w.shape[0] > 1 else 0], scale, np.float64(m[r]), s[r])
        else:
            y[r] = m[r] + math.log(s[r])


def logsumexp(x: Any, where: Any, /, *, axis: Any, scale: float) -> Any:
    """Logarithm of the sum of exponentials; see the primitive row_logsumexp."""
    axes = (axis,) if isinstance(axis, int) else axis
    out = empty([n for i, n in enumerate(x.shape) if i not in axes], None, x)
    source = borrow(x)
    if source.size == 0:
        fill(out, -np.inf)
        return out
    flat, w = take_rows(source, axis), kept_rows(where, source.shape, axis)

    def finish(w: Any, a: Any, b: Any) -> None:
        logsumexp_given.code(a[0].dtype)(a[0], w, *row_sums(w, a[0], scale), b[0], scale)

    if is_long(flat):
        for r in range(flat.shape[0]):
            m, s = long_sums(flat, w, r, scale)
            out.reshape(-1)[r] = float(m[0]) + _log(s[0])  # a view: out is fresh and C-contiguous
    else:
        each_block(finish, w, [flat], [flat_room(borrow(out))])
    return out


def lane(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Logsumexp along the last axis of a C-contiguous float32 or float64 array with cells in it.

    The short way for small calls: nothing is checked.
    """
    if x.size > LANE:
        return logsumexp(x, None, axis=x.ndim - 1, scale=1.0)
    y, rows = np.empty(x.shape[:-1], x.dtype), x.reshape(-1, x.shape[-1])
    m, s = row_sums(_EVERY, rows, 1.0)
    logsumexp_given.code(x.dtype)(rows, _EVERY, m, s, y.reshape(-1), 1.0)
    return y


def _log(s: float) -> float:
    return math.log(s) if s > 0.0 else (-math.inf if s == 0.0 else s)


def logsumexp_backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, *, axis: Any, scale: float
) -> tuple[Any, None]:
    """Gradient of logsumexp with respect to x: the softmax, times a number a row.

    It is taken from the logits: exp(z - lse) would magnify the rounding of a saved lse.
    """
    x, where = operands
    if not needs[0]:
        return None, None
    source = borrow(x)
    if cotangents[0] is None or source.size == 0:
        return zeros(x), None
    out = empty(x.shape, None, x)
    target = borrow(out)
    flat, w = take_rows(source, axis), kept_rows(where, source.shape, axis)
    cell = np.dtype(np.float32) if source.dtype.itemsize == 2 else source.dtype
    dx, g = room_for_rows(target, axis), as_floats(cotangents[0], cell).reshape(-1)

    def pull(w: Any, a: Any, b: Any) -> None:
        softmax_rows.code(a[0].dtype)(a[0], w, b[0], scale)
        b[0] *= a[1][:, None] * a[0].dtype.type(scale)

    if is_long(flat):
        for r in range(flat.shape[0]):
            m, s = long_sums(flat, w, r, scale)
            factor = cell.type(g[r] * scale)

            def part(w: Any, a: Any, b: Any, m: Any = m, s: Any = s, factor: Any = factor) -> None:
                softmax_given.code(a[0].dtype)(a[0], w, m.astype(a[0].dtype), s, b[0], scale)
                b[0] *= factor

            each_chunk(part, r, w, [flat], [dx])
    else:
        each_block(pull, w, [flat, g], [dx])
    put_rows(dx, target, axis)
    return out, None
