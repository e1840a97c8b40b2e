"""Pieces of the threshold kernels: logarithms that vectorise, and what a row is made of.

Every sum is taken in float64 on the row less its largest cell, which float32 numbers reach exactly.
A mask w is a row of 0 and not 0, or one of them for the whole row.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from anymax._cpu.jit import FLAGS, jit
from anymax._cpu.simd import fma, maxnum, wide

__all__ = ["BLOCK", "blocks", "extent", "gather", "log", "log1p", "top"]

BLOCK = 128  # cells that are passed over together if the largest doesn't matter
WIDE = 4096  # cells that are looked through twice while they are near
i32, i64, f64 = np.int32, np.int64, np.float64

_piece = register_jitable(
    fastmath={flag for flag in FLAGS if flag != "reassoc"}, error_model="numpy"
)
_SQRT2, _HIGH, _LOW = 1.4142135623730951, 0.6931471803691238, 1.9082149292705878e-10
_C = tuple(2.0 / (2 * k + 1) for k in range(12))


@_piece
def log(w):
    """Logarithm of a positive normal float64, by the series of atanh."""
    bits = f64(w).view(np.int64)
    n = i32((bits >> i64(52)) - i64(1023))
    m = i64((bits & i64(0xFFFFFFFFFFFFF)) | i64(0x3FF0000000000000)).view(np.float64)
    high = m > _SQRT2
    m = 0.5 * m if high else m
    exponent = f64(n + i32(1) if high else n)
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = fma(fma(fma(fma(_C[11], z, _C[10]), z, _C[9]), z, _C[8]), z, _C[7])
    r = fma(fma(fma(fma(r, z, _C[6]), z, _C[5]), z, _C[4]), z, _C[3])
    r = fma(fma(r, z, _C[2]), z, _C[1])
    return fma(exponent, _HIGH, fma(2.0, s, fma(s * z, r, exponent * _LOW)))


@_piece
def log1p(y):
    """log(1 + y) for -1 < y, with what the sum 1 + y lost put back."""
    w = 1.0 + y
    return log(w) + (y - (w - 1.0)) / w


# Loops that find a largest cell do only that: with a count in them LLVM leaves them scalar.


@jit(cache=False)
def _largest(x):
    wide()
    m = x.dtype.type(-np.inf)
    for j in range(x.size):
        m = maxnum(m, x[j])
    return m


@jit(cache=False)
def _largest_kept(x, w):
    wide()
    m = low = x.dtype.type(-np.inf)
    for j in range(x.size):
        z = x[j]
        m = maxnum(m, z if w[j] else low)
    return m


@jit(cache=False)
def _bad(x):
    """How many cells are NaN or inf."""
    wide()
    count, high = i32(0), x.dtype.type(np.inf)
    for j in range(x.size):
        count += i32(not x[j] < high)
    return count


@jit(cache=False)
def _bad_kept(x, w):
    wide()
    count, high = i32(0), x.dtype.type(np.inf)
    for j in range(x.size):
        count += i32((w[j] != 0) & (not x[j] < high))
    return count


@jit(cache=False)
def top(x, w, tops):
    """The largest cell that takes part (-inf for none), whether NaN or +inf does, and the largest
    cell of each block."""
    m, bad = x.dtype.type(-np.inf), 0
    if w.size == 1 and not w[0]:
        tops[:] = m
        return m, False
    for b in range(tops.size):
        part = x[b * BLOCK : (b + 1) * BLOCK]
        if w.size > 1:
            tops[b] = _largest_kept(part, w[b * BLOCK : (b + 1) * BLOCK])
        else:
            tops[b] = _largest(part)
    for b in range(0, x.size, WIDE):
        part = x[b : b + WIDE]
        bad += _bad_kept(part, w[b : b + WIDE]) if w.size > 1 else _bad(part)
    return _largest(tops), bad > 0


@jit(cache=False)
def _lowest(x):
    """Minus the smallest cell that is not -inf."""
    wide()
    low = m = x.dtype.type(-np.inf)
    for j in range(x.size):
        z = x[j]
        m = maxnum(m, -z if z > low else low)
    return m


@jit(cache=False)
def _lowest_kept(x, w):
    wide()
    low = m = x.dtype.type(-np.inf)
    for j in range(x.size):
        z = x[j]
        m = maxnum(m, -z if (w[j] != 0) & (z > low) else low)
    return m


@jit(cache=False)
def _count(x):
    wide()
    count, low = i32(0), x.dtype.type(-np.inf)
    for j in range(x.size):
        count += i32(x[j] > low)
    return count


@jit(cache=False)
def _count_kept(x, w):
    wide()
    count, low = i32(0), x.dtype.type(-np.inf)
    for j in range(x.size):
        count += i32((w[j] != 0) & (x[j] > low))
    return count


@jit(cache=False)
def extent(x, w):
    """The smallest cell that takes part, and their number."""
    m, count = x.dtype.type(-np.inf), 0
    if w.size == 1 and not w[0]:
        return -m, count
    for b in range(0, x.size, WIDE):
        part = x[b : b + WIDE]
        if w.size > 1:
            mask = w[b : b + WIDE]
            m = maxnum(m, _lowest_kept(part, mask))
            count += _count_kept(part, mask)
        else:
            m = maxnum(m, _lowest(part))
            count += _count(part)
    return -m, count


@jit(cache=False)
def _pick(x, m, limit, factor, values, k):
    for j in range(x.size):  # no branch: it would be guessed wrong
        v = f64(x[j]) - m
        values[k] = v * factor
        k += i64(v > limit)
    return k


@jit(cache=False)
def _pick_kept(x, w, m, limit, factor, values, k):
    for j in range(x.size):
        v = f64(x[j]) - m
        values[k] = v * factor
        k += i64((v > limit) & (w[j] != 0))
    return k


@jit(cache=False)
def gather(x, w, tops, m, limit, factor, values):
    """Put factor * (x - m) of the cells with x - m > limit together; gives how many there are.

    `values` has room for one more than there are cells.
    """
    k = i64(0)
    if w.size == 1 and not w[0]:
        return k
    for b in range(tops.size):
        if not f64(tops[b]) - m > limit:
            continue
        part = x[b * BLOCK : (b + 1) * BLOCK]
        if w.size > 1:
            mask = w[b * BLOCK : (b + 1) * BLOCK]
            k = _pick_kept(part, mask, m, limit, factor, values, k)
        else:
            k = _pick(part, m, limit, factor, values, k)
    return k


@jit(cache=False)
def blocks(size):
    return (size + BLOCK - 1) // BLOCK
