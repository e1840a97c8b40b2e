"""The kernel of cross entropy: losses of blocks of rows, and the gradient if there is room for it.

The gradient is taken from the logits themselves: exp(x - lse) with a saved lse would magnify its
rounding, to 1e-3 at logits of 1e4 in float32.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types

from anymax._cpu import short
from anymax._cpu.cross_entropy_rows import capped, gradient, less, mix, row_loss
from anymax._cpu.jit import bare, const, frozen, jit, keep
from anymax._cpu.rows import BLOCK, GROUP, SHORT, poison, sums
from anymax._cpu.simd import rare, wide

__all__ = ["loss_rows"]


class Terms(NamedTuple):
    """What makes up the loss besides the logits."""

    hard: Any  # (rows,) class indices, or (0,)
    soft: Any  # (rows, classes) target probabilities, or (0, 0)
    weight: Any  # (classes,) or (0,)
    smoothing: Any
    square: Any  # factor of lse squared
    cap: Any  # soft cap of the logits, 0 for none


def _types(*rest: str) -> Any:
    def args(cell: Any) -> Any:
        real, each = types.float64, const(cell, 1)
        terms = const(types.int64, 1), const(cell, 2), each, real, real, cell
        kinds = {"each": each, "out": cell[::1]}
        extra = (kinds[name] for name in rest)
        return const(cell, 2), const(types.uint8, 2), *terms, *extra, cell[:, ::1]

    return args


@jit(cache=False)
def _is_plain(w, t):
    """Whether targets are the same share for every class and a hold on one."""
    return t.hard.size > 0 and (t.smoothing == 0.0 or (t.weight.size == 0 and w.shape[1] == 1))


@jit(cache=False)
def _target(w, t, a, n, r):
    """Row r of the targets, as a, its sum, and (share, class, hold) where a is empty."""
    if a.size:
        soft = t.soft[r if t.soft.size else 0]
        index = t.hard[r] if t.hard.size else 0
        mask = w[r if w.shape[0] > 1 else 0]
        return mix(index, soft, t.weight, mask, t.smoothing, a), (0.0, 0, 0.0)
    index = t.hard[r]
    hold = (1.0 - t.smoothing) * (np.float64(t.weight[index]) if t.weight.size else 1.0)
    return t.smoothing + hold, (t.smoothing / n, index, hold)


@jit(cache=False)
def _row_gradient(y, w, e, a, total, plain, t, s, lse, g, dlse):
    """Gradient of one row in place of its exponentials, whose sum is s."""
    rare()
    dtype = y.dtype.type
    if (g == 0.0 and dlse == 0.0) or s == 0.0:
        e[:] = dtype(0)
    elif not s < np.inf:
        poison(y, w, e, dtype(1), dtype(0))
    else:
        share, index, hold = plain
        factor = (g * (total + 2.0 * t.square * lse) + dlse) / s
        gradient(y, e, a, dtype(share), index, dtype(hold), dtype(factor), dtype(g), t.cap)


@jit(cache=False)
def _hide(x, w, y, cap, start):
    for i in range(y.shape[0]):
        capped(x[start + i], w[start + i if w.shape[0] > 1 else 0], y[i], cap)


@jit(cache=False)
def _is_easy(t, hides):
    """Whether a loss needs its target class alone."""
    return t.hard.size > 0 and t.smoothing == 0.0 and t.square == 0.0 and not hides


@jit(cache=False)
def _hold(t, index):
    return np.float64(t.weight[index]) if t.weight.size else 1.0


@jit(cache=False)
def _any_row(y, w, mask, a, m, s, r, t, factor, hint, pull, loss, lse, dx):
    """Loss of row r, which is seen as y under the mask w, and its gradient where dx holds its
    exponentials."""
    rare()
    total, plain = _target(mask, t, a, y.size, r)
    base = m if s > 0.0 else y.dtype.type(0)
    log = math.log(s) if s > 0.0 else 0.0
    value = 0.0
    if s > 0.0:
        value = row_loss(y, a, total, plain, base, log)
        value += t.square * (base + log) ** 2 if t.square != 0.0 else 0.0
    if not s < np.inf:
        value = np.nan
    lse[r] = m + math.log(s)
    loss[r] = factor * value if factor != 0.0 else 0.0
    if dx.size:
        g = np.float64(factor) * np.float64(hint)
        _row_gradient(y, w, dx[r], a, total, plain, t, s, base + log, g, np.float64(pull))


@jit(cache=False)
def _easy_group(y, start, e, m, s, t, scale, hint, dlse, loss, lse, dx):
    """Losses and gradients of the m.size rows from `start` on, where targets are all that counts.

    Written out, because a call for every row would cost as much as a short row. Gives the number
    of rows it left to `_any_row`: those with no cell, NaN or +inf.
    """
    rare()
    n, dtype, left = y.shape[1], y.dtype.type, 0
    for i in range(m.size):
        r = start + i
        index = t.hard[r]
        if not (s[i] > 0.0 and s[i] < np.inf):
            left += 1
            continue
        hold, log = np.float64(scale[r]) * _hold(t, index), math.log(s[i])
        d = np.float64(less(y[r, index], m[i]))
        lse[r] = m[i] + log
        loss[r] = hold * less(log, d) if hold != 0.0 else 0.0
        if dx.size:
            g = np.float64(hint[r]) * hold
            pull = np.float64(dlse[r]) if dlse.size else 0.0
            short.multiply(e, i * n, dx, r * n, n, dtype((g + pull) / s[i]))
            if d > -np.inf:
                dx[r, index] -= dtype(g)
    return left


@jit(cache=False)
def _any_group(y, w, first, start, mask, e, a, m, s, t, easy, scale, hint, dlse, loss, lse, dx):
    """The same for any row, or those left over; y, w, first are the rows as seen."""
    rare()
    n = y.shape[1]
    for i in range(m.size):
        if easy and s[i] > 0.0 and s[i] < np.inf:
            continue
        r = start + i
        g = hint[r] if dx.size else y.dtype.type(0)
        pull = dlse[r] if dlse.size else y.dtype.type(0)
        if dx.size and n <= SHORT:
            dx[r, :] = e[i * n : i * n + n]
        kept = w[first + i if w.shape[0] > 1 else 0]
        _any_row(y[first + i], kept, mask, a, m[i], s[i], r, t, scale[r], g, pull, loss, lse, dx)


@jit(args=_types("each", "each", "each", "out", "out"))
def loss_rows(x, w, hard, soft, weight, smoothing, square, cap, scale, hint, dlse, loss, lse, dx):
    """Loss and logsumexp; the gradient for the cotangents `hint` and `dlse` if there is room."""
    wide()
    x, w, dx = bare(x), bare(w), bare(dx)
    t = Terms(bare(hard), bare(soft), bare(weight), smoothing, square, cap)
    count, n = x.shape
    step = 1 if n > SHORT else min(count, GROUP // n)
    hides = cap > 0.0 or w.shape[1] > 1
    easy = _is_easy(t, hides)
    rows = np.empty((step if hides else 0, n), x.dtype)
    targets = np.empty(0 if _is_plain(w, t) else n, x.dtype)
    scratch = np.empty(BLOCK if n > SHORT else step * n, x.dtype)
    tops, totals = np.empty(step, x.dtype), np.empty(step, np.float64)
    ones = np.ones((1, 1), np.uint8)
    every, a, m, s = frozen(ones), bare(targets), bare(tops), bare(totals)
    for g in range(0, count, step):
        size = min(count - g, step)
        e = bare(scratch) if n > SHORT else bare(scratch)[: size * n]
        if dx.size and n > SHORT:
            e = dx[g]
        seen, kept, first = x, w, g
        if hides:
            _hide(x, w, bare(rows)[:size], cap, g)
            seen, kept, first = frozen(rows), every, 0
        sums(seen, kept, e, m[:size], s[:size], x.dtype.type(1), first)
        left = size
        if easy:
            left = _easy_group(x, g, e, m[:size], s, t, scale, hint, dlse, loss, lse, dx)
        if left:
            _any_group(
                seen, kept, first, g, w, e, a, m[:size], s[:size], t, easy,
                scale, hint, dlse, loss, lse, dx,
            )  # fmt: skip
    keep(rows)
    keep(targets)
    keep(scratch)
    keep(tops)
    keep(totals)
    keep(ones)
