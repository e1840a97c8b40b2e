r"""Maps of rows with a threshold: the shift :math:`\tau` that makes :math:`\sum_i\phi(z_i-\tau)`
what it should be, and the weights there.

The search runs on constants, a fixed number of steps; the last Newton steps carry the derivatives.
Rows come shifted so that their largest cell is 0, and harmless (0) where they are masked or bad.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anymax._array import Array, is_scalar, stop_gradient
from anymax._solve import bisect, newton, polish
from anymax.primitives._masked import nonzero, select

_CONVEX, _STEPS = 24, 40  # steps of searches; the second may have to halve its bracket
_SERIES = 12  # terms of series below 2**-6


def total(xp: Any, x: Array, axis: tuple[int, ...]) -> Array:
    return xp.sum(x, axis=axis, keepdims=True)


# -- powers: phi(u) = [1 + d u]_+ ** (1 / d), exp(u) for d = 0 -----------------------------------


def powers(xp: Any, z: Array, live: Array, n: Array, alpha: Any, axis: tuple[int, ...]) -> Array:
    """Entmax: weights that sum to one; alpha = 1 + d is 1 for softmax, 2 for sparsemax."""
    d = alpha - 1.0
    t = _power_threshold(xp, z, live, n, d, axis)
    return _tempered(xp, z, live, t, d)[0]


def normed(xp: Any, z: Array, live: Array, n: Array, alpha: Any, axis: tuple[int, ...]) -> Array:
    """Normmax: the threshold of an entmax, another power of what is above it, over its sum."""
    d = 1.0 - 1.0 / alpha
    z = z / d
    t = _power_threshold(xp, z, live, n, d, axis)
    y = d * (z - t)
    inside = live & (y > -1.0)
    p = select(xp, inside, xp.exp(xp.log1p(select(xp, inside, y)) / (alpha - 1.0)))
    return p / nonzero(xp, total(xp, p, axis))


def _power_threshold(xp, z, live, n, d, axis) -> Array:
    """The `t` at which the tempered weights sum to one, between 0 and that of n equal cells."""
    log_n = xp.log(nonzero(xp, n))
    constant, power = stop_gradient(z), d if is_scalar(d) else stop_gradient(d)
    upper = log_n * _fading(xp, power * log_n)
    lower = xp.zeros_like(upper)

    def norm(t: Array) -> tuple[Array, Array]:
        """The weights' norm of exponent 1 / d, less 1: convex for d <= 1, and nearly straight."""
        p, slope = _tempered(xp, constant, live, t, power)
        s, slope = nonzero(xp, total(xp, p, axis)), total(xp, slope, axis)
        if power == 1.0:
            return s - 1.0, -slope
        log_s = xp.log(s)
        value = log_s if power == 0.0 else xp.expm1(power * log_s) / power
        return value, -slope * xp.exp((power - 1.0) * log_s)

    def excess(t: Array) -> Array:
        return total(xp, _tempered(xp, constant, live, t, power)[0], axis) - 1.0

    def residual(t: Array) -> tuple[Array, Array]:
        p, slope = _tempered(xp, z, live, t, d)
        return total(xp, p, axis) - 1.0, -total(xp, slope, axis)

    convex = is_scalar(d) and d <= 1.0
    t = newton(norm, lower, upper, steps=_CONVEX) if convex else bisect(excess, lower, upper)
    return polish(residual, t, order=2)


def _tempered(xp: Any, z: Array, live: Array, t: Array, d: Any) -> tuple[Array, Array]:
    """Weights w ** (1 / d) of w = 1 + d (z - t) > 0, and minus their slopes in t."""
    u = z - t
    inside = live & (d * u > -1.0)
    u = select(xp, inside, u)
    y = d * u
    w = 1.0 + y
    if is_scalar(d) and d in (0.5, 1.0):
        p, slope = (w * w, w) if d == 0.5 else (w, xp.ones_like(w))
        return select(xp, inside, p), select(xp, inside, slope)
    if not is_scalar(d):
        log_p = u * _log_ratio(xp, y)
    else:
        log_p = xp.log1p(y) / d if d else u
    p = select(xp, inside, xp.exp(log_p))
    return p, p / w


def _near(xp: Any, y: Array) -> tuple[Array, Array, Array]:
    """Whether y is near 0, y there (0 elsewhere), and y elsewhere (1 there)."""
    near = xp.abs(y) < 2.0**-6
    return near, select(xp, near, y), xp.where(near, xp.ones_like(y), y)


def _polynomial(xp: Any, y: Array, coefficients: list[float]) -> Array:
    out = xp.zeros_like(y) + coefficients[-1]
    for c in reversed(coefficients[:-1]):
        out = out * y + c
    return out


def _log_ratio(xp: Any, y: Array) -> Array:
    """log1p(y) / y; by its series near 0, where derivatives of the quotient lose their digits."""
    near, inner, outer = _near(xp, y)
    series = _polynomial(xp, inner, [(-1.0) ** k / (k + 1) for k in range(_SERIES)])
    return xp.where(near, series, xp.log1p(outer) / outer)


def _fading(xp: Any, v: Any) -> Any:
    """(1 - exp(-v)) / v, a constant."""
    near, _, outer = _near(xp, v)
    return xp.where(near, 1.0 - 0.5 * v, -xp.expm1(-outer) / outer)


def tsallis_log(xp: Any, log_p: Array, d: Any) -> Array:
    """The logarithm of Tsallis, (p ** d - 1) / d, which is log p for d = 0."""
    if is_scalar(d):
        return xp.expm1(d * log_p) / d if d else log_p
    near, inner, outer = _near(xp, d * log_p)
    series = _polynomial(xp, inner, [1.0 / math.factorial(k + 1) for k in range(_SERIES)])
    return log_p * xp.where(near, series, xp.expm1(outer) / outer)


def power_slope(xp: Any, log_p: Array, d: Any) -> Array:
    """d log p / d d at a fixed threshold: ((1 - exp(-v)) / v - 1) / d * log p with v = d log p."""
    v = d * log_p
    near, inner, outer = _near(xp, v)
    series = _polynomial(
        xp, inner, [(-1.0) ** (k + 1) / math.factorial(k + 2) for k in range(_SERIES)]
    )
    ratio = xp.where(near, series, -(xp.expm1(-outer) + outer) / (outer * outer))
    return xp.square(log_p) * ratio


# -- bounded weights: phi between 0 and 1, summing to any total ----------------------------------


def budgeted(xp: Any, z: Array, live: Array, n: Array, budget: Any, axis: tuple[int, ...]) -> Array:
    """Budget sparsemax: z - tau clipped to [0, 1]."""
    goal, between = _goal(xp, n, budget)
    share = stop_gradient(goal) / nonzero(xp, n)
    u = _above(xp, _clipped, z, live, goal, _lowest(xp, z, live, axis) - share, -share, axis)
    rest, ones, _ = _clipped(xp, u)
    return _saturated(xp, rest + ones, between, budget)


def sigmoids(xp: Any, z: Array, live: Array, n: Array, k: Any, axis: tuple[int, ...]) -> Array:
    """Soft top-k: sigmoids of z - tau."""
    u, between = _sigmoid_arguments(xp, z, live, n, k, axis)
    rest, ones, _ = _sigmoid(xp, u)
    return _saturated(xp, rest + ones, between, k)


def log_sigmoids(xp: Any, z: Array, live: Array, n: Array, k: Any, axis: tuple[int, ...]) -> Array:
    """Log soft top-k."""
    u, between = _sigmoid_arguments(xp, z, live, n, k, axis)
    high, up, down = _sides(xp, u)
    y = xp.where(high, -xp.log1p(up), select(xp, ~high, u) - xp.log1p(down))
    none = xp.zeros_like(y) + k <= 0
    return xp.where(between, y, select(xp, ~none, xp.zeros_like(y), -xp.inf))


def _sigmoid_arguments(xp, z, live, n, k, axis) -> tuple[Array, Array]:
    goal, between = _goal(xp, n, k)
    rest = select(xp, between, n - goal, 0.5)
    shift = stop_gradient(xp.log(goal) - xp.log(rest))
    u = _above(xp, _sigmoid, z, live, goal, _lowest(xp, z, live, axis) - shift, -shift, axis)
    return u, between


def _goal(xp: Any, n: Array, wanted: Any) -> tuple[Array, Array]:
    """What the weights of each row should sum to, and whether that lies strictly between 0 and n.

    Where it does not the weights are all 0 or all 1, and a harmless total takes its place.
    """
    wanted = xp.zeros_like(n) + wanted
    between = (wanted > 0) & (wanted < n)
    return xp.where(between, wanted, 0.5 * nonzero(xp, n)), between


def _saturated(xp: Any, p: Array, between: Array, wanted: Any) -> Array:
    ends = select(xp, xp.zeros_like(p) + wanted <= 0, xp.zeros_like(p), 1.0)
    return xp.where(between, p, ends)


def _lowest(xp: Any, z: Array, live: Array, axis: tuple[int, ...]) -> Array:
    """The smallest live cell, a constant; rows have been shifted, so that no cell is above 0."""
    z = select(xp, live, stop_gradient(z))
    return total(xp, z, axis) if 0 in z.shape else xp.min(z, axis=axis, keepdims=True)


def _above(
    xp: Any,
    phi: Callable[[Any, Array], tuple[Array, Array, Array]],
    z: Array,
    live: Array,
    goal: Array,
    lower: Array,
    upper: Array,
    axis: tuple[int, ...],
) -> Array:
    """z - tau for the tau in [lower, upper] at which the live cells' phi sums to `goal`.

    phi comes as what is left beside whole ones: ones less the goal, both whole numbers mostly, go
    first, so that weights near 1 don't drown those near 0.  What the search finds is subtracted
    from z first: the rest of tau is then small, and keeps its digits however large the logits are.
    """

    def excess(u: Array, goal: Array) -> tuple[Array, Array]:
        rest, ones, slope = (select(xp, live, a) for a in phi(xp, u))
        whole = total(xp, ones, axis) - goal
        return whole + total(xp, rest, axis), total(xp, slope, axis)

    constant, wanted = stop_gradient(z), stop_gradient(goal)
    least = max(float(xp.finfo(z.dtype).smallest_normal), 1e-300)

    def search(t: Array) -> tuple[Array, Array]:
        value, slope = excess(constant - t, wanted)
        # A flat stretch leads to the end of the bracket, which halves it.
        return value, -select(xp, slope > least, slope, least)

    u = z - newton(search, lower, upper, steps=_STEPS)

    def residual(t: Array) -> tuple[Array, Array]:
        value, slope = excess(u - t, goal)
        return value, -slope

    return u - polish(residual, xp.zeros_like(lower), order=2)


def _clipped(xp: Any, u: Array) -> tuple[Array, Array, Array]:
    """u clipped to [0, 1]: what lies between, the ones, the slope."""
    inside = (u > 0) & (u < 1)
    return select(xp, inside, u), xp.astype(u >= 1, u.dtype), xp.astype(inside, u.dtype)


def _sides(xp: Any, u: Array) -> tuple[Array, Array, Array]:
    """Whether u >= 0, exp(-|u|) there, and exp(-|u|) elsewhere: each smooth on its side."""
    high = u >= 0
    return high, xp.exp(-select(xp, high, u)), xp.exp(select(xp, ~high, u))


def _sigmoid(xp: Any, u: Array) -> tuple[Array, Array, Array]:
    """The sigmoid less 1 where u >= 0, those ones, and the slope."""
    high, up, down = _sides(xp, u)
    up, down = up / (1.0 + up), down / (1.0 + down)
    slope = xp.where(high, up * (1.0 - up), down * (1.0 - down))
    return xp.where(high, -up, down), xp.astype(high, u.dtype), slope
