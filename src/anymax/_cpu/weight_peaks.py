"""What a weight function has to know of a row before it scales it: extremes and counts."""

from __future__ import annotations

import numpy as np

from anymax._cpu.jit import jit
from anymax._cpu.rows import BLOCK, largest
from anymax._cpu.simd import maxnum, wide

__all__ = ["magnitude", "span", "top"]


@jit(cache=False)
def top(x, w):
    """The largest cell; -inf if there is none."""
    return np.float64(largest(x, w, x.dtype.type(1))), 0.0, 0.0


@jit(cache=False)
def magnitude(x, w):
    """The largest magnitude; 0 if there is no cell."""
    wide()
    low, zero = x.dtype.type(-np.inf), x.dtype.type(0)
    m = zero
    if w.size > 1:
        for j in range(x.size):
            m = maxnum(m, abs(x[j]) if (w[j] != 0) & (x[j] != low) else zero)
    elif w[0]:
        for j in range(x.size):
            m = maxnum(m, abs(x[j]) if x[j] != low else zero)
    return np.float64(m), 0.0, 0.0


@jit(cache=False)
def _count_all(x):
    wide()
    low, one, zero = x.dtype.type(-np.inf), x.dtype.type(1), x.dtype.type(0)
    n = zero
    for j in range(x.size):
        n += one if x[j] != low else zero
    return n


@jit(cache=False)
def _count_kept(x, w):
    wide()
    low, one, zero = x.dtype.type(-np.inf), x.dtype.type(1), x.dtype.type(0)
    n = zero
    for j in range(x.size):
        n += one if (w[j] != 0) & (x[j] != low) else zero
    return n


@jit(cache=False)
def _lowest(x, w):
    """The smallest cell, negated."""
    wide()
    m = low = x.dtype.type(-np.inf)
    if w.size > 1:
        for j in range(x.size):
            m = maxnum(m, -x[j] if (w[j] != 0) & (x[j] != low) else low)
    elif w[0]:
        for j in range(x.size):
            m = maxnum(m, -x[j] if x[j] != low else low)
    return m


@jit(cache=False)
def span(x, w):
    """The largest cell, the smallest, and how many take part."""
    high, least, n = largest(x, w, x.dtype.type(1)), _lowest(x, w), 0.0
    if w.size == 1 and not w[0]:
        return -np.inf, np.inf, 0.0
    for j in range(0, x.size, BLOCK):
        part = x[j : j + BLOCK]
        n += _count_kept(part, w[j : j + BLOCK]) if w.size > 1 else _count_all(part)
    return np.float64(high), -np.float64(least), n
