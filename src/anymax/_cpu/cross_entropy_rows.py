"""Cross entropy of one row: its loss and its gradient, given the sum of exponentials.

y is the row after the soft cap, with -inf in cells left out; a holds, class by class, class weight
times smoothed target; base is the largest cell and s the sum of exp(y - base).
"""

from __future__ import annotations

import numpy as np

from anymax._cpu import short
from anymax._cpu.jit import jit
from anymax._cpu.rows import BLOCK, add_up
from anymax._cpu.simd import rare, tanh, wide

__all__ = ["capped", "gradient", "less", "mix", "row_loss"]


@jit(cache=False)
def capped(x, w, y, cap):
    """y = cap * tanh(x / cap), or x if cap is 0; -inf stays -inf, as do cells the mask removes."""
    rare()
    wide()
    low = x.dtype.type(-np.inf)
    if cap > x.dtype.type(0):
        for j in range(x.size):
            t = cap * tanh(x[j] / cap)
            y[j] = t if x[j] != low else low
    else:
        for j in range(x.size):
            y[j] = x[j]
    if w.size > 1:
        for j in range(x.size):
            z = y[j]
            y[j] = z if w[j] else low
    elif not w[0]:
        y[:] = low


@jit(cache=False)
def mix(index, soft, weight, w, smoothing, a):
    """Fill a, and give its sum.

    Classes the mask removes take no part in the smoothing; targets on them stay, and cost inf.
    """
    rare()
    wide()
    dtype = a.dtype.type
    zero, hold = dtype(0), dtype(1.0 - smoothing)
    kept = a.size
    if w.size > 1:
        kept = 0
        for j in range(w.size):
            kept += 1 if w[j] else 0
    share = dtype(smoothing / kept) if kept else zero
    for j in range(a.size):
        a[j] = share
    if w.size > 1:
        for j in range(a.size):
            a[j] = share if w[j] else zero
    if soft.size and w.size > 1:
        for j in range(a.size):
            t = hold * soft[j]
            a[j] += t if (w[j] or t > zero) else zero
    elif soft.size:
        for j in range(a.size):
            a[j] += hold * soft[j]
    else:
        a[index] += hold
    if weight.size:
        for j in range(a.size):
            a[j] *= weight[j]
    total = 0.0
    for j in range(0, a.size, BLOCK):
        total += add_up(a[j : j + BLOCK])
    return total


@jit(cache=False, contract=False, reassoc=False)
def less(y, base):
    """y - base, never regrouped with its neighbours: next to logits of 1e4 that costs digits."""
    return y - base


@jit(cache=False)
def _shifted_sum(y, base):
    wide()
    s = y.dtype.type(0)
    for j in range(y.size):
        s += less(y[j], base)
    return s


@jit(cache=False)
def _mixed_sum(a, y, base):
    wide()
    s = zero = y.dtype.type(0)
    for j in range(y.size):
        t = a[j] * less(y[j], base)
        s += t if a[j] != zero else zero
    return s


@jit(cache=False)
def row_loss(y, a, total, plain, base, log):
    """Sum of a * (lse - y), where lse = base + log and a adds up to the total.

    An empty a stands for plain = (share, class, hold): the share everywhere, the hold on one class.
    """
    rare()
    if a.size:
        loss = total * log
        for j in range(0, a.size, BLOCK):
            loss -= _mixed_sum(a[j : j + BLOCK], y[j : j + BLOCK], base)
        return loss
    share, index, hold = plain
    loss = 0.0
    if hold != 0.0:
        loss = hold * less(log, np.float64(less(y[index], base)))
    if share != 0.0:
        d = 0.0
        for j in range(0, y.size, BLOCK):
            d += _shifted_sum(y[j : j + BLOCK], base)
        loss += share * (y.size * log - d)
    return loss


@jit(cache=False)
def gradient(y, e, a, share, index, hold, factor, g, cap):
    """From exponentials e to the gradient factor * e - g * a, in place; 0 in cells left out."""
    rare()
    wide()
    dtype = y.dtype.type
    zero, low = dtype(0), dtype(-np.inf)
    if a.size:
        for j in range(e.size):
            t = factor * e[j] - g * a[j]
            e[j] = t if y[j] != low else zero
    elif share != zero:
        even = g * share
        for j in range(e.size):
            t = factor * e[j] - even
            e[j] = t if y[j] != low else zero
    else:
        short.multiply(e, 0, e, 0, e.size, factor)
    if a.size == 0 and y[index] != low:
        e[index] -= g * hold
    if cap > zero:
        for j in range(e.size):
            t = y[j] / cap
            t = e[j] * (dtype(1) - t * t)
            e[j] = t if y[j] != low else zero
