"""Weight functions s(x) of the forms s(x) / sum s(x), a few lines of array-API code each.

A row is scaled before it is summed: `anchor` looks at the row and gives constants, `weigh` the
scaled weights, at most about 1, `log` their logarithms without underflow, and `rate` the derivative
of a weight from its value, so that ``rate(xp, x, 1, ...)`` is the derivative of the logarithm.
Anchors carry no derivative, since a factor common to a row cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from anymax._array import Array
from anymax.primitives._masked import nonzero, safe_max, select

Anchors = tuple[Array, ...]


class Weight(NamedTuple):
    """One weight function; `value` holds its parameters, Python floats."""

    anchor: Callable[..., Anchors]  # (xp, x, keep, axis, value)
    weigh: Callable[..., Array]  # (xp, x, anchors, value)
    log: Callable[..., Array]  # the same
    rate: Callable[..., Array]  # (xp, x, w, anchors, value)
    valid: Callable[..., Array]  # (xp, x): whether a cell has a weight at all


def _finite(xp: Any, x: Array) -> Array:
    return xp.isfinite(x)


def _top(xp: Any, x: Array, keep: Array, axis: tuple, value: tuple) -> Anchors:
    return (safe_max(xp, x, keep, axis),)


def _largest(xp: Any, x: Array, keep: Array, axis: tuple, least: float) -> Array:
    """The largest magnitude of a row, or `least`."""
    m = safe_max(xp, xp.abs(x), keep, axis)
    return xp.where(m < least, xp.full_like(m, least), m)


def _parts(xp: Any, x: Array) -> tuple[Array, Array, Array]:
    """Whether x >= 0, and max(x, 0), min(x, 0) with the derivatives 1 and 0 at 0."""
    up, zero = x >= 0, xp.zeros_like(x)
    return up, xp.where(up, x, zero), xp.where(up, zero, x)


# -- e^x ---------------------------------------------------------------------------------------


def _exp_log(xp, x, anchors, value):
    return x - anchors[0]


def _exp(xp, x, anchors, value):
    return xp.exp(_exp_log(xp, x, anchors, value))


def _exp_rate(xp, x, w, anchors, value):
    return w


# -- e^x sigmoid(x), whose logarithm is x + min(x, 0) - log1p(e^-|x|) --------------------------


def _sigsoft_log(xp, x, anchors, value):
    (_, high, low), m = _parts(xp, x), anchors[0]
    _, mh, ml = _parts(xp, m)
    tails = xp.log1p(xp.exp(low - high)) - xp.log1p(xp.exp(ml - mh))
    return (x - m) + (low - ml) - tails


def _sigsoft(xp, x, anchors, value):
    return xp.exp(_sigsoft_log(xp, x, anchors, value))


def _sigsoft_rate(xp, x, w, anchors, value):
    up, high, low = _parts(xp, x)
    e = xp.exp(low - high)
    return w * (1.0 + xp.where(up, e, xp.ones_like(e)) / (1.0 + e))


# -- n^(s x) e^(b x), n the number of cells that take part -------------------------------------


def _scalable_anchor(xp, x, keep, axis, value):
    n = nonzero(xp, xp.sum(xp.astype(keep, x.dtype), axis=axis, keepdims=True))
    f = value[0] * xp.log(n) + value[1]
    high, low = safe_max(xp, x, keep, axis), -safe_max(xp, -x, keep, axis)
    return xp.where(f >= 0, high, low), f


def _scalable_log(xp, x, anchors, value):
    return (x - anchors[0]) * anchors[1]


def _scalable(xp, x, anchors, value):
    return xp.exp(_scalable_log(xp, x, anchors, value))


def _scalable_rate(xp, x, w, anchors, value):
    return w * anchors[1]


# -- x^a on x >= 0 -----------------------------------------------------------------------------


def _power_anchor(xp, x, keep, axis, value):
    m = safe_max(xp, xp.abs(x), keep, axis)
    least = _tiny(xp, x)
    return xp.where(m < least, xp.full_like(m, least), m), m != 0


def _power_log(xp, x, anchors, value):
    live = x != 0
    z = xp.log(select(xp, live, x / anchors[0], 1.0)) * value[0]
    return select(xp, live, z, -math.inf)


def _power(xp, x, anchors, value):
    if value[0] == 1.0:
        return select(xp, anchors[1], x / anchors[0])
    live = x != 0
    z = xp.log(select(xp, live, x / anchors[0], 1.0)) * value[0]
    return select(xp, live, xp.exp(z))


def _power_rate(xp, x, w, anchors, value):
    if value[0] == 1.0 and not isinstance(w, float):
        return select(xp, anchors[1], xp.ones_like(x) / anchors[0])
    live = x != 0
    return select(xp, live, w * value[0] / select(xp, live, x, 1.0))


def _not_negative(xp: Any, x: Array) -> Array:
    return xp.isfinite(x) & (x >= 0)


# -- x^2 + eps ---------------------------------------------------------------------------------


def _spherical_anchor(xp, x, keep, axis, value):
    m = safe_max(xp, xp.abs(x), keep, axis)
    flat = (m == 0) if value[0] == 0.0 else (m < 0)  # zeros alone: every cell has the weight 1
    least = max(math.sqrt(value[0]), _tiny(xp, x))
    return xp.where(m < least, xp.full_like(m, least), m), flat


def _spherical(xp, x, anchors, value):
    m, flat = anchors
    u, e = x / m, math.sqrt(value[0]) / m
    return select(xp, ~flat, u * u + e * e, 1.0)


def _spherical_log(xp, x, anchors, value):
    m, flat = anchors
    u, e = x / m, xp.zeros_like(x) + math.sqrt(value[0]) / m
    big = xp.abs(u) > e
    a, b = xp.where(big, xp.abs(u), e), xp.where(big, e, u)
    live = a > 0
    a = select(xp, live, a, 1.0)
    z = 2.0 * xp.log(a) + xp.log1p((b / a) ** 2)
    return select(xp, ~flat, select(xp, live | xp.isnan(u), z, -math.inf))


def _spherical_rate(xp, x, w, anchors, value):
    if not isinstance(w, float):
        return 2.0 * (x / anchors[0]) / anchors[0]
    return 2.0 * _over(xp, x, value[0])


def _over(xp: Any, x: Array, c: float) -> Array:
    """x / (x^2 + c) without overflow; 0 at 0."""
    live = x != 0
    x = select(xp, live, x, 1.0)
    return select(xp, live, 1.0 / (x + c / x))


# -- Taylor polynomials of e^x: a product of n / 2 terms (x - a)^2 + b^2, all of them positive -


def _roots(order: int) -> tuple[tuple[float, float], ...]:
    roots = np.roots([1.0 / math.factorial(order - j) for j in range(order + 1)])
    return tuple(sorted((float(z.real), float(z.imag)) for z in roots if z.imag > 0))


_ROOTS = {order: _roots(order) for order in range(2, 17, 2)}  # compilers cannot trace np.roots


def taylor_roots(order: int) -> tuple[tuple[float, float], ...]:
    """The roots a + ib, b > 0, of 1 + x + ... + x^order / order!."""
    return _ROOTS[order] if order in _ROOTS else _roots(order)


def _taylor_anchor(xp, x, keep, axis, value):
    return (_largest(xp, x, keep, axis, 1.0),)


def _taylor(xp, x, anchors, value):
    m, w = anchors[0], 1.0
    for a, b in taylor_roots(int(value[0])):
        w = w * (((x - a) / m) ** 2 + (b / m) ** 2)
    return w


def _taylor_log(xp, x, anchors, value):
    m, z = anchors[0], 0.0
    for a, b in taylor_roots(int(value[0])):
        u, e = (x - a) / m, xp.zeros_like(x) + b / m
        big = xp.abs(u) > e
        high, low = xp.where(big, xp.abs(u), e), xp.where(big, e, u)
        z = z + (2.0 * xp.log(high) + xp.log1p((low / high) ** 2))
    return z


def _taylor_rate(xp, x, w, anchors, value):
    slopes = [_over(xp, x - a, b * b) for a, b in taylor_roots(int(value[0]))]
    return w * (2.0 * sum(slopes[1:], slopes[0]))


# -- 1 + x for x >= 0, 1 / (1 - x) below -------------------------------------------------------


def _stable(xp, x, anchors, value):
    up, high, low = _parts(xp, x)
    _, mh, ml = _parts(xp, anchors[0])
    w = xp.where(up, 1.0 + high, 1.0 / (1.0 - low))
    return w * (1.0 - ml) / (1.0 + mh)


def _stable_log(xp, x, anchors, value):
    (_, high, low), (_, mh, ml) = _parts(xp, x), _parts(xp, anchors[0])
    return (xp.log1p(high) - xp.log1p(-low)) - (xp.log1p(mh) - xp.log1p(-ml))


def _stable_rate(xp, x, w, anchors, value):
    return w / (1.0 + xp.abs(x))


def _tiny(xp: Any, x: Array) -> float:
    return float(xp.finfo(x.dtype).smallest_normal)


WEIGHTS: dict[str, Weight] = {
    "exp": Weight(_top, _exp, _exp_log, _exp_rate, _finite),
    "sigsoft": Weight(_top, _sigsoft, _sigsoft_log, _sigsoft_rate, _finite),
    "scalable": Weight(_scalable_anchor, _scalable, _scalable_log, _scalable_rate, _finite),
    "power": Weight(_power_anchor, _power, _power_log, _power_rate, _not_negative),
    "spherical": Weight(_spherical_anchor, _spherical, _spherical_log, _spherical_rate, _finite),
    "taylor": Weight(_taylor_anchor, _taylor, _taylor_log, _taylor_rate, _finite),
    "stable": Weight(_top, _stable, _stable_log, _stable_rate, _finite),
}
