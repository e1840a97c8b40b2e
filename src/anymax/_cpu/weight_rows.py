"""The one loop over rows behind every form s(x) / sum s(x), forward and backward.

A weight function comes as pieces: `peak` looks at a row, `anchor` makes its constants, `weigh`,
`log` and `rate` work on one number. A huge row comes in chunks, stage by stage; other rows go
through all stages at once.
"""

from __future__ import annotations

import math

import numpy as np

from anymax._cpu.jit import bare, jit
from anymax._cpu.rows import BLOCK, add_up, poison
from anymax._cpu.simd import wide

__all__ = ["FINISH", "PEAK", "TOTAL", "WHOLE", "pull_rows", "weigh_rows"]

WHOLE, PEAK, TOTAL, FINISH = range(4)


@jit(cache=False)
def _weigh_all(weigh, x, y, c):
    wide()
    low, zero = x.dtype.type(-np.inf), x.dtype.type(0)
    for j in range(x.size):
        t = weigh(x[j], c)
        y[j] = t if x[j] != low else zero


@jit(cache=False)
def _weigh_kept(weigh, x, w, y, c):
    wide()
    low, zero = x.dtype.type(-np.inf), x.dtype.type(0)
    for j in range(x.size):
        t = weigh(x[j], c)
        y[j] = t if (w[j] != 0) & (x[j] != low) else zero


@jit(cache=False)
def _fill(weigh, x, w, y, c):
    """Weights of a row in y, and their sum."""
    if w.size == 1 and not w[0]:
        y[:] = x.dtype.type(0)
        return 0.0
    s = 0.0
    for j in range(0, x.size, BLOCK):
        part, out = x[j : j + BLOCK], y[j : j + BLOCK]
        if w.size > 1:
            _weigh_kept(weigh, part, w[j : j + BLOCK], out, c)
        else:
            _weigh_all(weigh, part, out, c)
        s += add_up(out)
    return s


@jit(cache=False, reassoc=False, contract=False)
def _log_row(log, x, w, y, c, shift):
    wide()
    low = x.dtype.type(-np.inf)
    if w.size > 1:
        for j in range(x.size):
            z = log(x[j], c) - shift
            y[j] = z if (w[j] != 0) & (x[j] != low) else low
    elif w[0]:
        for j in range(x.size):
            z = log(x[j], c) - shift
            y[j] = z if x[j] != low else low
    else:
        y[:] = low


@jit(cache=False, fastmath={"contract", "nsz"})
def _divide(y, s):
    """y / s and not y times 1 / s: a single weight is exactly 1."""
    wide()
    for j in range(y.size):
        y[j] = y[j] / s


@jit(cache=False)
def weigh_rows(peak, anchor, weigh, log, x, w, v, t, st, s, y, stage, logs):
    """Weights of rows, or their logarithms, in y; peaks in st, sums in s; t holds sinks, if any."""
    wide()
    x, w, y = bare(x), bare(w), bare(y)
    low, zero = x.dtype.type(-np.inf), x.dtype.type(0)
    for r in range(x.shape[0]):
        row, mask = x[r], w[r if w.shape[0] > 1 else 0]
        sink = t[r] if t.size else -np.inf
        if stage <= PEAK:
            high, least, count = peak(row, mask)
            st[r, 0], st[r, 1], st[r, 2] = max(high, sink), least, count
        if stage == PEAK:
            continue
        c = anchor(row, st[r, 0], st[r, 1], st[r, 2], v)
        if not logs or stage != FINISH:
            total = _fill(weigh, row, mask, y[r], c)
            if stage != FINISH:
                s[r] = total + (math.exp(sink - c[0]) if sink != -np.inf else 0.0)
        if stage == TOTAL:
            continue
        if sink == np.inf or s[r] == 0.0:
            y[r] = low if logs else zero
        elif not s[r] < np.inf:
            poison(row, mask, y[r], x.dtype.type(1), low if logs else zero)
        elif logs:
            _log_row(log, row, mask, y[r], c, x.dtype.type(math.log(s[r])))
        else:
            _divide(y[r], x.dtype.type(s[r]))


# -- backward ----------------------------------------------------------------------------------


@jit(cache=False)
def _dot(p, g):
    wide()
    s = zero = p.dtype.type(0)
    for j in range(p.size):
        t = p[j] * g[j]
        s += t if p[j] != zero else zero  # a cell left out may meet inf or NaN
    return s


@jit(cache=False)
def _sum_live(rate, x, w, e, g, c):
    """Sum of g over the cells whose logarithm is finite."""
    wide()
    low, one = x.dtype.type(-np.inf), x.dtype.type(1)
    s = zero = x.dtype.type(0)
    if w.size > 1:
        for j in range(x.size):
            live = (e[j] != zero) | (rate(x[j], one, c, one) != zero)
            s += g[j] if live & (w[j] != 0) & (x[j] != low) else zero
    elif w[0]:
        for j in range(x.size):
            live = (e[j] != zero) | (rate(x[j], one, c, one) != zero)
            s += g[j] if live & (x[j] != low) else zero
    return s


@jit(cache=False)
def _received(rate, x, w, e, g, c, logs):
    """Sum of e g over a row, or of g for logarithms."""
    d = 0.0
    for j in range(0, x.size, BLOCK):
        weights, part = e[j : j + BLOCK], g[j : j + BLOCK]
        if logs:
            mask = w[j : j + BLOCK] if w.size > 1 else w
            d += _sum_live(rate, x[j : j + BLOCK], mask, weights, part, c)
        else:
            d += _dot(weights, part)
    return d


@jit(cache=False)
def _pull_row(rate, x, w, g, dx, c, per, d):
    """dx = rate * (g - d), from the normalised weights in dx."""
    wide()
    low, zero = x.dtype.type(-np.inf), x.dtype.type(0)
    if w.size > 1:
        for j in range(x.size):
            t = rate(x[j], dx[j], c, per) * (g[j] - d)
            dx[j] = t if (w[j] != 0) & (x[j] != low) else zero
    elif w[0]:
        for j in range(x.size):
            t = rate(x[j], dx[j], c, per) * (g[j] - d)
            dx[j] = t if x[j] != low else zero


@jit(cache=False)
def _pull_log_row(rate, x, w, g, dx, c, d):
    """dx = rate * (g - p * d), from the normalised weights p in dx."""
    wide()
    low, zero, one = x.dtype.type(-np.inf), x.dtype.type(0), x.dtype.type(1)
    if w.size > 1:
        for j in range(x.size):
            slope = rate(x[j], one, c, one)
            t = slope * (g[j] - dx[j] * d)
            dx[j] = t if (w[j] != 0) & (x[j] != low) & (slope != zero) else zero
    elif w[0]:
        for j in range(x.size):
            slope = rate(x[j], one, c, one)
            t = slope * (g[j] - dx[j] * d)
            dx[j] = t if (x[j] != low) & (slope != zero) else zero


@jit(cache=False)
def pull_rows(peak, anchor, weigh, rate, x, w, v, t, g, st, s, d, dx, stage, logs):
    """Gradients of rows in dx; peaks in st, sums of weights in s, and in d the sum of p g, or of g
    for logarithms.  In the stage TOTAL the weights p are not normalised yet."""
    wide()
    x, w, g, dx = bare(x), bare(w), bare(g), bare(dx)
    zero = x.dtype.type(0)
    for r in range(x.shape[0]):
        row, mask = x[r], w[r if w.shape[0] > 1 else 0]
        sink = t[r] if t.size else -np.inf
        if stage <= PEAK:
            high, least, count = peak(row, mask)
            st[r, 0], st[r, 1], st[r, 2] = max(high, sink), least, count
        if stage == PEAK:
            continue
        c = anchor(row, st[r, 0], st[r, 1], st[r, 2], v)
        total = _fill(weigh, row, mask, dx[r], c)
        if stage != FINISH:
            s[r] = total + (math.exp(sink - c[0]) if sink != -np.inf else 0.0)
        live = stage != TOTAL and 0.0 < s[r] < np.inf
        if live:
            _divide(dx[r], x.dtype.type(s[r]))
        if stage != FINISH:
            d[r] = _received(rate, row, mask, dx[r], g[r], c, logs)
        if stage == TOTAL:
            continue
        if sink == np.inf or s[r] == 0.0:
            dx[r] = zero
        elif not s[r] < np.inf:
            poison(row, mask, dx[r], x.dtype.type(1), zero)
        elif logs:
            _pull_log_row(rate, row, mask, g[r], dx[r], c, x.dtype.type(d[r]))
        else:
            per = x.dtype.type(1.0 / s[r])
            _pull_row(rate, row, mask, g[r], dx[r], c, per, x.dtype.type(d[r]))
