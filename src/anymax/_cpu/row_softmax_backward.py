"""Gradients of softmax and log-softmax along rows, from what the forward calls gave."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from anymax._cpu.arrays import borrow, empty, put_rows, room_for_rows, take_rows
from anymax._cpu.blocks import each_block, each_chunk, is_long
from anymax._cpu.jit import Kernel, bare, const, jit
from anymax._cpu.rows import BLOCK
from anymax._cpu.simd import exp, wide

__all__ = ["log_softmax_backward", "softmax_backward", "zeros"]


def _pair(cell: Any) -> Any:
    return const(cell, 2), const(cell, 2), types.float64[::1]


def _pull(cell: Any) -> Any:
    return const(cell, 2), const(cell, 2), types.float64[::1], cell[:, ::1], cell


@jit(cache=False)
def _dot(p, g):
    wide()
    s = zero = p.dtype.type(0)
    for j in range(p.size):
        t = p[j] * g[j]
        s += t if p[j] != zero else zero  # a cell left out may meet inf or NaN
    return s


@jit(cache=False)
def _sum_kept(logp, g):
    wide()
    low, zero = logp.dtype.type(-np.inf), logp.dtype.type(0)
    s = zero
    for j in range(g.size):
        t = g[j]
        s += t if logp[j] != low else zero
    return s


@jit(args=_pair)
def softmax_dots(p, g, d):
    """d = sum of p * g along each row."""
    wide()
    p, g = bare(p), bare(g)
    for r in range(p.shape[0]):
        s = 0.0
        for j in range(0, p.shape[1], BLOCK):
            s += _dot(p[r, j : j + BLOCK], g[r, j : j + BLOCK])
        d[r] = s


@jit(args=_pair)
def log_softmax_sums(logp, g, d):
    """d = sum of g along each row, over the cells that take part."""
    wide()
    logp, g = bare(logp), bare(g)
    for r in range(g.shape[0]):
        s = 0.0
        for j in range(0, g.shape[1], BLOCK):
            s += _sum_kept(logp[r, j : j + BLOCK], g[r, j : j + BLOCK])
        d[r] = s


@jit(cache=False)
def _pull_row(p, g, dx, d, scale):
    wide()
    zero = p.dtype.type(0)
    for j in range(p.size):
        t = scale * p[j] * (g[j] - d)
        dx[j] = t if p[j] != zero else zero


@jit(cache=False)
def _pull_log_row(logp, g, dx, d, scale):
    wide()
    low, zero = logp.dtype.type(-np.inf), logp.dtype.type(0)
    for j in range(g.size):
        t = scale * (g[j] - exp(logp[j]) * d)
        dx[j] = t if logp[j] != low else zero


@jit(args=_pull)
def softmax_pull(p, g, d, dx, scale):
    """dx = scale * p * (g - d)."""
    wide()
    p, g, dx = bare(p), bare(g), bare(dx)
    for r in range(p.shape[0]):
        _pull_row(p[r], g[r], dx[r], p.dtype.type(d[r]), scale)


@jit(args=_pull)
def log_softmax_pull(logp, g, d, dx, scale):
    """dx = scale * (g - exp(logp) * d)."""
    wide()
    logp, g, dx = bare(logp), bare(g), bare(dx)
    for r in range(g.shape[0]):
        _pull_log_row(logp[r], g[r], dx[r], g.dtype.type(d[r]), scale)


def _two_passes(p: Any, g: Any, axis: Any, scale: float, reduce: Kernel, pull: Kernel) -> Any:
    """Gradient from a result p and its cotangent: one number a row, then every cell."""
    out = empty(p.shape, None, p)
    target = borrow(out)
    if target.size == 0:
        return out
    p, g = take_rows(borrow(p), axis), take_rows(borrow(g), axis)
    dx = room_for_rows(target, axis)
    every = np.ones((1, 1), np.uint8)

    def reduced(w: Any, a: Any, b: Any) -> Any:
        d = np.empty(a[0].shape[0])
        reduce.code(a[0].dtype)(a[0], a[1], d)
        return d

    def pulled(d: Any, a: Any, b: Any) -> None:
        pull.code(a[0].dtype)(a[0], a[1], d, b[0], scale)

    if is_long(p):
        for r in range(p.shape[0]):
            d = np.array(
                [sum(float(part[0]) for part in each_chunk(reduced, r, every, [p, g], []))]
            )

            def part(w: Any, a: Any, b: Any, d: Any = d) -> None:
                pulled(d, a, b)

            each_chunk(part, r, every, [p, g], [dx])
    else:
        each_block(lambda w, a, b: pulled(reduced(w, a, b), a, b), every, [p, g], [dx])
    put_rows(dx, target, axis)
    return out


def softmax_backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, *, axis: Any, scale: float
) -> tuple[Any, None]:
    """Gradient of softmax with respect to x."""
    if not needs[0]:
        return None, None
    p, g = outputs[0], cotangents[0]
    if g is None:
        return zeros(p), None
    return _two_passes(p, g, axis, scale, softmax_dots, softmax_pull), None


def log_softmax_backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, *, axis: Any, scale: float
) -> tuple[Any, None]:
    """Gradient of log-softmax with respect to x."""
    if not needs[0]:
        return None, None
    p, g = outputs[0], cotangents[0]
    if g is None:
        return zeros(p), None
    return _two_passes(p, g, axis, scale, log_softmax_sums, log_softmax_pull), None


def zeros(like: Any) -> Any:
    out = empty(like.shape, None, like)
    borrow(out)[...] = 0
    return out
