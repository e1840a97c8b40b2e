"""Threshold maps of whole rows: find what matters, solve, write; a short cut for sigmoids."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from anymax._cpu.jit import bare, const, jit, keep
from anymax._cpu.row_threshold_kinds import BUDGET, LOG_SIGMOID, NORMMAX, SIGMOID
from anymax._cpu.row_threshold_pieces import BLOCK, blocks, extent, gather, log1p, top
from anymax._cpu.row_threshold_solve import bound, exponents, solve, step_sigmoid
from anymax._cpu.rows import BLOCK as SUM_BLOCK
from anymax._cpu.rows import exp_row, poison
from anymax._cpu.simd import exp, rare, wide

__all__ = [
    "bound_of",
    "fits",
    "scaled_sums",
    "sigmoids_of",
    "threshold_rows",
    "values_of",
    "write_row",
]


# -- writing weights -----------------------------------------------------------------------------


@jit(cache=False)
def _write_powers(x, y, m, f, d, t, e, c):
    wide()
    kind = y.dtype.type
    if e == 1.0:
        for j in range(x.size):
            w = 1.0 + d * ((np.float64(x[j]) - m) * f - t)
            y[j] = kind(w * c if w > 0.0 else 0.0)
    elif e == 2.0:
        for j in range(x.size):
            w = 1.0 + d * ((np.float64(x[j]) - m) * f - t)
            y[j] = kind(w * w * c if w > 0.0 else 0.0)
    elif d > 0.0:
        for j in range(x.size):
            w = d * ((np.float64(x[j]) - m) * f - t)
            live = w > -1.0
            p = exp(log1p(w if live else 0.0) * e) * c
            y[j] = kind(p if live else 0.0)
    else:
        for j in range(x.size):
            y[j] = kind(exp((np.float64(x[j]) - m) * f - t))


@jit(cache=False, reassoc=False)  # t + r would lose r
def _write_bounded(x, y, m, f, t, r, kind):
    wide()
    cell = y.dtype.type
    if kind == BUDGET:
        for j in range(x.size):
            u = (np.float64(x[j]) - m) * f - t - r
            u = u if u > 0.0 else 0.0
            y[j] = cell(u if u < 1.0 else 1.0)
    elif kind == SIGMOID:
        for j in range(x.size):
            u = (np.float64(x[j]) - m) * f - t - r
            e = exp(-abs(u))
            y[j] = cell((1.0 if u >= 0.0 else e) / (1.0 + e))
    else:
        for j in range(x.size):
            u = (np.float64(x[j]) - m) * f - t - r
            y[j] = cell((u if u < 0.0 else 0.0) - log1p(exp(-abs(u))))


@jit(cache=False)
def _write_ends(x, y, value, low):
    """One weight for all cells but those of -inf."""
    wide()
    for j in range(x.size):
        y[j] = value if x[j] > x.dtype.type(-np.inf) else low


@jit(cache=False)
def _clear(y, w, low):
    wide()
    for j in range(y.size):
        y[j] = y[j] if w[j] else low


@jit(cache=False)
def write_row(x, w, tops, y, m, scale, kind, a, t, r, c):
    """Weights of a row of good cells from its threshold t + r and factor c."""
    rare()
    zero = y.dtype.type(0)
    low = y.dtype.type(-np.inf) if kind == LOG_SIGMOID else zero
    if w.size == 1 and not w[0]:
        y[:] = low
        return
    if abs(t) == np.inf:
        one = zero if kind == LOG_SIGMOID else y.dtype.type(1)
        _write_ends(x, y, one if t < 0.0 else low, low)
    elif kind >= SIGMOID:
        _write_bounded(x, y, m, scale, t, r, kind)
    else:
        q, d, e = (1.0, 1.0, 1.0) if kind == BUDGET else exponents(kind, a)
        f = q * scale
        cut = (t + r if kind == BUDGET else t - 1.0 / d if d > 0.0 else -np.inf) / f
        cut -= 1e-12 * (1.0 + abs(cut))
        for b in range(tops.size):
            part, out = x[b * BLOCK : (b + 1) * BLOCK], y[b * BLOCK : (b + 1) * BLOCK]
            if not np.float64(tops[b]) - m > cut:
                out[:] = zero
            elif kind == BUDGET:
                _write_bounded(part, out, m, f, t, r, kind)
            else:
                _write_powers(part, out, m, f, d, t, e, c)
    if w.size > 1:
        _clear(y, w, low)


# -- sigmoids of exponentials --------------------------------------------------------------------


@jit(cache=False)
def _scaled_block(y, s):
    wide()
    zero, one = y.dtype.type(0), y.dtype.type(1)
    rest, ones, slope = zero, zero, zero
    for j in range(y.size):
        q = y[j] * s
        r = one / (one + q)
        p = q * r
        high = q >= one
        rest += -r if high else p
        ones += one if high else zero
        slope += p * r
    return rest, ones, slope


@jit(cache=False)
def scaled_sums(y, s):
    """Sums of sigmoids q / (1 + q) of q = s * y: the part beside whole ones, those, the slope."""
    rest, ones, slope = 0.0, 0.0, 0.0
    for b in range(0, y.size, SUM_BLOCK):
        a, n, d = _scaled_block(y[b : b + SUM_BLOCK], s)
        rest += a
        ones += n
        slope += d
    return rest, ones, slope


@jit(cache=False)
def sigmoids_of(y, out, s):
    """Sigmoids q / (1 + q) of q = s * y."""
    wide()
    one = y.dtype.type(1)
    for j in range(y.size):
        q = y[j] * s
        out[j] = q / (one + q)


@jit(cache=False)
def fits(spread, n, k, single):
    """Whether neither exp(x - max) nor its multiple at the threshold leaves the range of floats."""
    most = 60.0 if single else 600.0
    return 0.0 < k < n and spread <= most and math.log(k) - math.log(n - k) < 20.0


@jit(cache=False)
def _short_cut(x, w, y, m, spread, n, k, scale):
    """The threshold of sigmoids, from exponentials that are taken once and left in y."""
    s = exp_row(x, w, y, x.dtype.type(scale), x.dtype.type(m) * x.dtype.type(scale))
    shift = math.log(k) - math.log(n - k)
    lo, hi = -shift - spread, -max(shift, math.log(k) - math.log(s))
    t, last, close = hi, np.inf, 1e-4 if y.itemsize == 4 else 1e-8
    for _ in range(100):
        rest, ones, slope = scaled_sums(y, y.dtype.type(math.exp(-t)))
        value = (ones - k) + rest
        if value == 0.0:
            break
        if value > 0.0:
            lo = t
        else:
            hi = t
        before = t
        t, last = step_sigmoid(rest, ones, slope, k, lo, hi, t, last)
        if abs(t - before) <= close:
            break
    return t


# -- rows ----------------------------------------------------------------------------------------


@jit(cache=False)
def bound_of(tops, m, a, kind, scale, values):
    """A lower bound of the threshold, from the largest cells of the blocks."""
    q = exponents(kind, a)[0] if kind <= NORMMAX else 1.0
    k = 0
    for b in range(tops.size):
        v = np.float64(tops[b]) - m
        values[k] = v * q * scale
        k += v > -np.inf
    return bound(values[:k], kind, a)


@jit(cache=False)
def values_of(x, w, tops, m, a, kind, scale, start, values):
    """Gather the cells that can be above the threshold `start`; gives their number."""
    q, d = 1.0, 0.0
    if kind <= NORMMAX:
        q, d, _ = exponents(kind, a)
    limit = -np.inf
    if kind == BUDGET:
        limit = start / scale
    elif d > 0.0:
        limit = (max(start, 0.0) - 1.0 / d) / (q * scale)
    return gather(x, w, tops, m, limit, q * scale, values)


@jit(cache=False)
def _one_row(x, w, tops, y, a, kind, scale, values):
    m, bad = top(x, w, tops)
    low = y.dtype.type(-np.inf) if kind == LOG_SIGMOID else y.dtype.type(0)
    if bad:
        poison(x, w, y, x.dtype.type(1), low)
        return
    if m == -np.inf:
        y[:] = low
        return
    largest, n, start = np.float64(m), 0, -np.inf
    if kind >= BUDGET:
        lowest, n = extent(x, w)
        spread = (largest - lowest) * scale
        if kind >= SIGMOID and fits(spread, n, a, y.itemsize == 4):
            t = _short_cut(x, w, y, largest, spread, n, a, scale)
            if kind == SIGMOID:
                sigmoids_of(y, y, y.dtype.type(math.exp(-t)))
            else:
                write_row(x, w, tops, y, largest, scale, kind, a, t, 0.0, 1.0)
            return
    if tops.size > 4 and kind <= BUDGET:
        start = bound_of(tops, largest, a, kind, scale, values)
    k = values_of(x, w, tops, largest, a, kind, scale, start, values)
    t, r, c = solve(values[:k], kind, a, n, start)
    write_row(x, w, tops, y, largest, scale, kind, a, t, r, c)


def _types(cell: Any) -> Any:
    return (
        const(cell, 2),
        const(types.uint8, 2),
        const(types.float64, 1),
        cell[:, ::1],
        types.int64,
        types.float64,
    )


@jit(args=_types)
def threshold_rows(x, w, a, y, kind, scale):
    """Weights of every row, with its own parameter."""
    wide()
    x, w, a, y = bare(x), bare(w), bare(a), bare(y)
    scratch, maxima = np.empty(x.shape[1] + 1), np.empty(blocks(x.shape[1]), x.dtype)
    values, tops = bare(scratch), bare(maxima)
    for r in range(x.shape[0]):
        mask = w[r if w.shape[0] > 1 else 0]
        _one_row(x[r], mask, tops, y[r], a[r], kind, scale, values)
    keep(scratch)
    keep(maxima)
