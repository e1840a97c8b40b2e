"""What row kernels are made of: plain loops over one row, which become vector code, and row sums.

z = scale * x is a scaled row. A mask w holds 0 where a cell is left out, as -inf leaves it out. It
is (1 or rows, 1 or length), so that masks of whole rows or of whole columns stay small.
"""

from __future__ import annotations

import numpy as np

from anymax._cpu import short, vector_exp
from anymax._cpu.jit import jit
from anymax._cpu.simd import exp, maxnum, rare, vscalef, wide

__all__ = ["BLOCK", "GROUP", "SHORT", "add_up", "exp_all", "exp_row", "largest", "poison", "sums"]

BLOCK = 512  # float32 sums this long, added up in float64: as accurate as pairwise, at no cost
SHORT = 256  # rows up to this length go through exp in groups, or the ends of loops would rule
GROUP = 4096  # cells a group


@jit(cache=False)
def add_up(y):
    """Sum in the precision of y: for at most a block."""
    wide()
    s = y.dtype.type(0)
    for j in range(y.size):
        s += y[j]
    return s


@jit(cache=False)
def _largest(x, scale):
    wide()
    m = x.dtype.type(-np.inf)
    for j in range(x.size):
        m = maxnum(m, x[j] * scale)
    return m


@jit(cache=False)
def _largest_kept(x, w, scale):
    wide()
    m = low = x.dtype.type(-np.inf)
    for j in range(x.size):
        z = x[j] * scale
        m = maxnum(m, z if w[j] else low)
    return m


if vscalef():
    FUSED = 32  # cells from which a short row is worth a sweep of its own

    @jit(cache=False)
    def exp_all(y):
        vector_exp.exp_sum(y, 0, y, 0, y.size, y.dtype.type(1), y.dtype.type(0))

    @jit(cache=False, contract=False)
    def _exp_sum(x, start, y, begin, size, scale, m):
        return vector_exp.exp_sum(x, start, y, begin, size, scale, m)

    @jit(cache=False, contract=False)
    def _exp_block(x, y, scale, m):
        return vector_exp.exp_sum(x, 0, y, 0, x.size, scale, m)

else:
    FUSED = 1 << 62

    @jit(cache=False)
    def exp_all(y):
        wide()
        for j in range(y.size):
            y[j] = exp(y[j])

    @jit(cache=False, contract=False)
    def _exp_sum(x, start, y, begin, size, scale, m):
        return x.dtype.type(0)  # never reached

    @jit(cache=False, contract=False)
    def _exp_block(x, y, scale, m):
        wide()
        for j in range(x.size):
            y[j] = exp(x[j] * scale - m)
        return add_up(y)


@jit(cache=False, contract=False)
def _exp_block_kept(x, w, y, scale, m):
    wide()
    low = x.dtype.type(-np.inf)
    for j in range(x.size):
        z = x[j] * scale - m
        y[j] = exp(z if w[j] else low)
    return add_up(y)


@jit(cache=False)
def exp_row(x, w, e, scale, m):
    """Sum of exp(z - m) over one row, and the exponentials in e; a shorter e is scratch.

    An m of -inf, that of an empty row, counts as 0.
    """
    if w.size == 1 and not w[0]:
        e[:] = x.dtype.type(0)
        return 0.0
    base = m if m > x.dtype.type(-np.inf) else x.dtype.type(0)
    whole = e.size == x.size
    s = 0.0
    for j in range(0, x.size, BLOCK):
        part = x[j : j + BLOCK]
        out = e[j : j + BLOCK] if whole else e[: part.size]
        if w.size > 1:
            s += _exp_block_kept(part, w[j : j + BLOCK], out, scale, base)
        else:
            s += _exp_block(part, out, scale, base)
    return s


@jit(cache=False)
def largest(x, w, scale):
    """Largest cell that takes part, NaN left out; -inf if there is none."""
    if w.size > 1:
        return _largest_kept(x, w, scale)
    return _largest(x, scale) if w[0] else x.dtype.type(-np.inf)


@jit(cache=False)
def _copy_kept(x, w, e, scale):
    """e = z, with -inf in the cells left out."""
    wide()
    low = x.dtype.type(-np.inf)
    if w.size == 1:
        factor = scale if w[0] else low
        for j in range(x.size):
            e[j] = x[j] * scale if w[0] else factor
    else:
        for j in range(x.size):
            z = x[j] * scale
            e[j] = z if w[j] else low


@jit(cache=False, contract=False)
def _short_sums(x, w, e, m, s, scale, start):
    """The same for a group of short rows: shifted row by row, then one exp over all of them."""
    zero, one, low = x.dtype.type(0), x.dtype.type(1), x.dtype.type(-np.inf)
    n = x.shape[1]
    plain = w.size == 1 and w[0, 0]
    if plain and n >= FUSED:
        for i in range(m.size):
            there = (start + i) * n
            m[i] = short.largest(x, there, n, scale)
            s[i] = _exp_sum(x, there, e, i * n, n, scale, m[i] if m[i] > low else zero)
        return
    for i in range(m.size):
        here = i * n
        if plain:
            there = (start + i) * n
            m[i] = short.largest(x, there, n, scale)
            short.shift(x, there, e, here, n, scale, m[i] if m[i] > low else zero)
        else:
            mask = w[start + i if w.shape[0] > 1 else 0]
            _copy_kept(x[start + i], mask, e[here : here + n], scale)
            m[i] = short.largest(e, here, n, one)
            short.shift(e, here, e, here, n, one, m[i] if m[i] > low else zero)
    exp_all(e)
    for i in range(m.size):
        s[i] = short.total(e, i * n, n)


@jit(cache=False)
def _holds_nan(x, w, scale):
    rare()
    for j in range(x.size):
        z = x[j] * scale
        if z != z and (w[j] if w.size > 1 else w[0]):
            return True
    return False


@jit(cache=False)
def sums(x, w, e, m, s, scale, start):
    """Largest cells and sums of the m.size rows from `start` on; one row a call beyond SHORT.

    An empty row has the sum 0. A row with NaN has the sum NaN, a row with +inf the sum inf.
    """
    rare()
    if x.shape[1] > SHORT:
        mask = w[start if w.shape[0] > 1 else 0]
        m[0] = largest(x[start], mask, scale)
        s[0] = exp_row(x[start], mask, e, scale, m[0])
    else:
        _short_sums(x, w, e, m, s, scale, start)
    for i in range(m.size):
        if m[i] == np.inf:
            mask = w[start + i if w.shape[0] > 1 else 0]
            s[i] = np.nan if _holds_nan(x[start + i], mask, scale) else np.inf


@jit(cache=False)
def poison(x, w, y, scale, low):
    """NaN in every cell that takes part, `low` in the others."""
    rare()
    for j in range(x.size):
        out = x[j] * scale == -np.inf or not (w[j] if w.size > 1 else w[0])
        y[j] = low if out else np.nan
