"""Margins on angles: the cosines, and what becomes of the target's."""

from __future__ import annotations

import math
from typing import Any

from anymax._array import Array
from anymax.primitives._masked import safe_max, select

_NEAR = 1e-7  # closer to 1, the sine goes to 0 along a line: its slope would be infinite


def with_margin(
    xp: Any, c: Array, m1: float, m2: float, m3: float, easy_margin: bool = False
) -> Array:
    """``cos(m1 * angle + m2) - m3`` of cosines `c`, made to fall with the angle up to pi."""
    if m1 == 1:
        y = _added(xp, c, m2, easy_margin)
    elif m1 == int(m1) and not m2:
        y = _multiplied(xp, c, int(m1))
    else:
        y = _folded(xp, c, m1, m2)
    if easy_margin:
        y = xp.where(c > 0, y, c)
    return y - m3 if m3 else y


def _added(xp: Any, c: Array, m2: float, easy_margin: bool) -> Array:
    """The cosine of a sum; a line past pi - m2, where that cosine would rise again."""
    if not m2:
        return c
    y = c * math.cos(m2) - sine(xp, c) * math.sin(m2)
    if easy_margin:
        return y
    return xp.where(c < -math.cos(m2), c - m2 * math.sin(m2), y)


def _multiplied(xp: Any, c: Array, m: int) -> Array:
    """The Chebyshev polynomial T_m, the cosine of m times the angle, unfolded."""
    before, y = xp.ones_like(c), c
    for _ in range(m - 1):
        before, y = y, 2 * c * y - before
    folds = [c < math.cos(j * math.pi / m) for j in range(1, m)]
    return _unfolded(xp, y, folds)


def _folded(xp: Any, c: Array, m1: float, m2: float) -> Array:
    a = m1 * xp.atan2(sine(xp, c), c) + m2
    count = math.floor(m1 + m2 / math.pi + 1e-12)
    return _unfolded(xp, xp.cos(a), [a > j * math.pi for j in range(1, count + 1)])


def _unfolded(xp: Any, y: Array, folds: list[Array]) -> Array:
    """``(-1)^k y - 2 k``, k the number of `folds` passed: what falls on and on."""
    k = xp.zeros_like(y)
    for passed in folds:
        y = xp.where(passed, -y, y)
        k = k + xp.astype(passed, y.dtype)
    return y - 2 * k


def sine(xp: Any, c: Array) -> Array:
    """Sine of the angles in [0, pi] whose cosines are `c`; exact at +-1 and of finite slope there.

    Closer to +-1 than 1e-7 it is the chord to 0, so that it is off by 1.2e-4 at most.
    """
    size = xp.where(c < 0, -c, c)
    gap = 1 - size
    near = gap < _NEAR
    s = xp.sqrt(xp.where(near, xp.ones_like(c), gap * (1 + size)))
    chord = select(xp, gap >= 0, gap) * math.sqrt((2 - _NEAR) / _NEAR)
    return xp.where(near, chord, s)


def cosines(xp: Any, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """Cosines (..., C) between x (..., D) and w (C, D), and the norms (..., 1) and (C,).

    A vector that is not finite gives NaN by selection: in the product it would spread to the
    gradients of the others, as 0 * NaN is NaN.  A zero vector has cosine 0, norm 0 and gradient 0.
    """
    x, x_norm, x_good = _unit(xp, x)
    w, w_norm, w_good = _unit(xp, w)
    wt = xp.matrix_transpose(w)
    y = xp.matmul(x[None, :], wt)[0, ...] if x.ndim == 1 else xp.matmul(x, wt)
    y = select(xp, x_good & w_good[..., 0], y, xp.nan)
    return y, x_norm, w_norm[..., 0]


def _unit(xp: Any, x: Array) -> tuple[Array, Array, Array]:
    """Unit vectors along the last axis, their norms, and which were finite."""
    good = xp.all(xp.isfinite(x), axis=-1, keepdims=True)
    x = select(xp, good, x)
    top = safe_max(xp, xp.abs(x), xp.isfinite(x), (x.ndim - 1,))  # squares of x / top fit any dtype
    some = top > 0
    top = select(xp, some, top, 1.0)
    x = x / top
    norm = xp.sqrt(select(xp, some, xp.sum(x * x, axis=-1, keepdims=True), 1.0))
    return select(xp, some, x / norm), select(xp, some, norm * top), good
