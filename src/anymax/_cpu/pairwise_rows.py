"""Rows of a tile of logits: exclusions, running sums of exponentials or softplus, slopes.

A tile z is (rows, columns); `first` is the column of the first row's diagonal, far outside where
the diagonal takes part. Excluded cells are set to -inf, whose exponential and softplus are 0.
Groups: mode 0 keeps all, 1 the row's own group, 2 the others; without groups `labels` is empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from anymax._cpu.jit import bare, const, jit, keep
from anymax._cpu.rows import BLOCK, add_up, exp_row, largest
from anymax._cpu.simd import exp, wide
from anymax._cpu.simd_log import log

__all__ = ["absorb", "absorb_softplus", "pull", "pull_softplus"]


@jit(cache=False)
def _mask_out(z, w):
    wide()
    low = z.dtype.type(-np.inf)
    for j in range(z.size):
        x = z[j]
        z[j] = x if w[j] else low


@jit(cache=False)
def _group_out(z, labels, own, mode):
    wide()
    low = z.dtype.type(-np.inf)
    if mode == 1:
        for j in range(z.size):
            x = z[j]
            z[j] = x if labels[j] == own else low
    else:
        for j in range(z.size):
            x = z[j]
            z[j] = low if labels[j] == own else x


@jit(cache=False)
def _exclude(z, w, r, labels, own, mode, first):
    if w.shape[0] > 0:
        _mask_out(z, w[r])
    if 0 <= r + first < z.size:
        z[r + first] = z.dtype.type(-np.inf)
    if mode > 0 and labels.size > 0:
        _group_out(z, labels, own, mode)


@jit(cache=False)
def _own_total(z, labels, own):
    """Sum of the live cells of the row's own group."""
    wide()
    low, t = z.dtype.type(-np.inf), 0.0
    for j in range(z.size):
        x = np.float64(z[j])
        t += x if labels[j] == own and z[j] != low else 0.0
    return t


@jit(cache=False)
def _own_flags(z, labels, own, h, e):
    """e = h in the live cells of the row's own group, 0 elsewhere."""
    wide()
    low, zero = z.dtype.type(-np.inf), z.dtype.type(0)
    for j in range(z.size):
        e[j] = h if labels[j] == own and z[j] != low else zero


@jit(cache=False)
def _exp_times(z, lse, g):
    """z = g * exp(z - lse)."""
    wide()
    for j in range(z.size):
        z[j] = g * exp(z[j] - lse)


@jit(cache=False)
def _add(z, e):
    wide()
    for j in range(z.size):
        z[j] += e[j]


def _types(*names: str) -> Any:
    def args(cell: Any) -> Any:
        kinds = {
            "tile": cell[:, ::1],
            "mask": const(types.uint8, 2),
            "labels": const(types.int64, 1),
            "index": types.int64,
            "each": cell[::1],
            "given": const(cell, 1),
            "sum": types.float64[::1],
        }
        return tuple(kinds[name] for name in names)

    return args


@jit(args=_types("tile", "mask", "labels", "labels", "index", "index", "each", "sum", "sum"))
def absorb(z, w, own, labels, mode, first, m, s, t):
    """Take a tile into the maxima m, the sums s of exp(z - m), and the totals t of own groups."""
    wide()
    z, w = bare(z), bare(w)
    one, every = np.ones(1, z.dtype)[0], np.ones(1, np.uint8)
    for r in range(z.shape[0]):
        x, label = z[r], own[r] if own.size else 0
        _exclude(x, w, r, labels, label, mode, first)
        if mode == 0 and labels.size > 0:
            t[r] += _own_total(x, labels, label)
        top = largest(x, every, one)
        if top > m[r]:
            s[r] *= np.exp(np.float64(m[r]) - np.float64(top))
            m[r] = top
        s[r] += exp_row(x, every, x, one, m[r])
    keep(every)


@jit(
    args=_types(
        "tile", "mask", "labels", "labels", "index", "index", "given", "given", "given"
    )
)  # fmt: skip
def pull(z, w, own, labels, mode, first, lse, g, h):
    """From logits to their gradient, g times the weights plus h in the row's own group."""
    wide()
    z, w = bare(z), bare(w)
    scratch = np.empty(BLOCK, z.dtype)
    e = bare(scratch)
    zero = z.dtype.type(0)
    for r in range(z.shape[0]):
        x, label = z[r], own[r] if own.size else 0
        if g[r] == zero and h[r] == zero:
            x[:] = zero
            continue
        _exclude(x, w, r, labels, label, mode, first)
        grouped = mode == 0 and labels.size > 0 and h[r] != zero
        for j in range(0, x.size, BLOCK):
            part = x[j : j + BLOCK]
            if grouped:
                flags = e[: part.size]
                _own_flags(part, labels[j : j + BLOCK], label, h[r], flags)
                _exp_times(part, lse[r], g[r])
                _add(part, flags)
            else:
                _exp_times(part, lse[r], g[r])
    keep(scratch)


@jit(cache=False, reassoc=False, contract=False)
def _softplus(z):
    """z = log(1 + exp(z)); what 1 + e rounds away is put back, or small results lose their
    digits."""
    wide()
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for j in range(z.size):
        x = z[j]
        e = exp(-x if x >= zero else x)
        u = one + e
        tail = log(u) + (e - (u - one)) / u
        z[j] = (x if x >= zero else zero) + tail if x == x else x


@jit(cache=False)
def _sigmoid_times(z, g):
    wide()
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for j in range(z.size):
        x = z[j]
        e = exp(-x if x >= zero else x)
        z[j] = g * (one if x >= zero else e) / (one + e)


@jit(args=_types("tile", "mask", "index", "sum"))
def absorb_softplus(z, w, first, t):
    """Add the softplus of a tile's cells to the sums t of its rows."""
    wide()
    z, w = bare(z), bare(w)
    none = np.empty(0, np.int64)
    for r in range(z.shape[0]):
        x = z[r]
        _exclude(x, w, r, none, 0, 0, first)
        for j in range(0, x.size, BLOCK):
            part = x[j : j + BLOCK]
            _softplus(part)
            t[r] += add_up(part)
    keep(none)


@jit(args=_types("tile", "mask", "index", "given"))
def pull_softplus(z, w, first, g):
    """From logits to their gradient, g times their sigmoid."""
    wide()
    z, w = bare(z), bare(w)
    none, zero = np.empty(0, np.int64), z.dtype.type(0)
    for r in range(z.shape[0]):
        x = z[r]
        if g[r] == zero:
            x[:] = zero
            continue
        _exclude(x, w, r, none, 0, 0, first)
        _sigmoid_times(x, g[r])
    keep(none)
