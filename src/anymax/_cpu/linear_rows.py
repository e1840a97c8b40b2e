"""Rows of a linear layer's operands: those with NaN or inf, which take no part in the products,
and the ranges of classes that do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from anymax._cpu import pool
from anymax._cpu.jit import const, jit
from anymax._cpu.simd import wide

__all__ = ["bad_rows", "clean", "live_ranges"]

_CLASSES = 256  # a block of the gradient that may be left out

Array = np.ndarray[Any, Any]


@jit(cache=False)
def _sum_of_zeros(x):
    wide()
    s = zero = x.dtype.type(0)
    for j in range(x.size):
        s += x[j] * zero
    return s


@jit(args=lambda cell: (const(cell, 2), types.boolean[::1]))
def mark_bad(x, bad):
    """Which rows hold NaN or inf: 0 times them is not 0."""
    for i in range(x.shape[0]):
        bad[i] = _sum_of_zeros(x[i]) != x.dtype.type(0)


def bad_rows(x: Array) -> Array:
    """Numbers of the rows that hold NaN or inf."""
    bad = np.zeros(len(x), bool)
    if x.size:
        code = mark_bad.code(x.dtype)
        pool.spread(lambda a, b: code(x[a:b], bad[a:b]), *x.shape)
    return np.flatnonzero(bad)


def clean(x: Array, bad: Array) -> Array:
    """`x` with zeros in its bad rows; `x` itself where there are none."""
    if not bad.size:
        return x
    x = x.copy()
    x[bad] = 0
    return x


def live_ranges(z: Array, eps: float, each: Any) -> list[tuple[int, int]]:
    """Ranges of columns to multiply with: all, or what is left without blocks below `eps`.

    An entry counts relative to the largest cotangent of all rows.
    """
    count, classes = z.shape
    if not eps or not count or not classes:
        return [(0, classes)]
    size = np.maximum(z.max(axis=0), -z.min(axis=0))
    starts = np.arange(0, classes, _CLASSES)
    least = eps * max(float(np.max(np.abs(g), initial=0.0)) for g in each)
    live = ~(np.maximum.reduceat(size, starts) < least)  # NaN stays
    ranges: list[tuple[int, int]] = []
    for start in starts[live].tolist():
        stop = min(start + _CLASSES, classes)
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        ranges.append((start, stop))
    return ranges
