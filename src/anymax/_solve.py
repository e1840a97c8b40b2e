r"""Roots of monotone functions, a fixed number of steps each, and their exact derivatives.

Softmax-like maps define a threshold :math:`\tau(x)` by :math:`f(\tau, x) = 0`. Bisection finds it,
but the gradient of what it computes is wrong, without a warning: halving brackets doesn't depend on
:math:`x` smoothly. So solves run on constants and end with one differentiable Newton step

.. math:: \tau = t - \frac{f(t, x)}{\partial_t f(t, x)}, \qquad t \text{ constant},

which moves the root by rounding only and whose derivative is that of the implicit function theorem,
:math:`-\partial_x f / \partial_t f`. Nothing here depends on values in Python, so all of it can be
traced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anymax._array import Array, iterate, namespace, stop_gradient

__all__ = ["bisect", "newton", "polish", "root"]

Residual = Callable[..., Array]
ResidualAndSlope = Callable[..., tuple[Array, Array]]


def bisect(residual: Residual, lower: Array, upper: Array, /, *, steps: int | None = None) -> Array:
    """Halve brackets of the roots of non-increasing functions, elementwise.

    Parameters
    ----------
    residual : callable
        Takes an array shaped like the brackets; not negative at `lower`, not positive at `upper`.
    lower, upper : array
        Brackets of one shape and dtype.
    steps : int, optional
        Halvings; by default as many as the dtype has bits, which leaves an error of eps times the
        bracket.

    Returns
    -------
    array
        The lower end of the last brackets, where `residual` isn't negative. It isn't
        differentiable: see `polish`.
    """
    xp = namespace("bisect", lower=lower)
    lower, upper = stop_gradient(lower), stop_gradient(upper)

    def halve(lower: Array, upper: Array) -> tuple[Array, Array]:
        middle = lower + 0.5 * (upper - lower)
        right = residual(middle) >= 0
        return xp.where(right, middle, lower), xp.where(right, upper, middle)

    return iterate(halve, _bits(xp, lower) if steps is None else steps, (lower, upper))[0]


def newton(residual: ResidualAndSlope, lower: Array, upper: Array, /, *, steps: int = 24) -> Array:
    """Find the roots of non-increasing functions by Newton steps that stay in their brackets.

    A step longer than half of the one before is replaced by a halving, and the step after a halving
    is free again. So rows where Newton's method fails gain a bit in two steps, and all others
    converge quadratically.

    Parameters
    ----------
    residual : callable
        Takes an array shaped like the brackets and returns values and slopes (never positive)
        there.
    lower, upper : array
        Brackets of one shape and dtype: values aren't negative at `lower`, not positive at `upper`.
        The first step starts from `lower`.
    steps : int
        Evaluations of `residual`.

    Returns
    -------
    array
        The roots. They aren't differentiable: see `polish`.
    """
    xp = namespace("newton", lower=lower)
    lower, upper = stop_gradient(lower), stop_gradient(upper)

    def step(t: Array, lower: Array, upper: Array, trusted: Array) -> tuple[Array, ...]:
        value, slope = residual(t)
        right = value >= 0
        lower, upper = xp.where(right, t, lower), xp.where(right, upper, t)
        # Clipped, not refused: rounding overshoots a root at the end of its bracket.
        ahead = xp.clip(t - _quotient(xp, value, slope), lower, upper)
        length = xp.abs(ahead - t)
        good = length <= trusted
        t = xp.where(good, ahead, lower + 0.5 * (upper - lower))
        return t, lower, upper, xp.where(good, 0.5 * length, xp.full_like(trusted, math.inf))

    return iterate(step, steps, (lower, lower, upper, xp.full_like(lower, math.inf)))[0]


def polish(residual: ResidualAndSlope, t: Array, /, *, order: int = 1) -> Array:
    r"""Give roots their derivatives by Newton steps from constants.

    Parameters
    ----------
    residual : callable
        Takes `t` and returns values and slopes there; written with the arrays that are being
        differentiated.
    t : array
        Roots, already accurate.
    order : int
        Order of the derivatives that come out right, 1 or 2: one step, or two.

    Returns
    -------
    array
        The same roots to rounding, differentiable. Where the slope is 0 the root is a constant.
    """
    xp = namespace("polish", t=t)
    value, slope = residual(stop_gradient(t))
    # To first order the slope is a constant, because it only multiplies a value of 0; and its own
    # derivative may be infinite at the edge of the support.
    t = stop_gradient(t) - _quotient(xp, value, stop_gradient(slope))
    if order == 2:
        t = t - _quotient(xp, *residual(t))
    return t


def root(
    residual: Callable[..., tuple[Array, Array]],
    lower: Array,
    upper: Array,
    /,
    *operands: Array,
    steps: int = 24,
    order: int = 1,
) -> Array:
    r"""Solve :math:`f(t, \text{operands}) = 0` for :math:`t`, differentiably in the operands.

    Parameters
    ----------
    residual : callable
        ``residual(t, *operands)`` returns values and slopes in `t` of a function that doesn't
        increase in `t`.
    lower, upper : array
        Brackets, as for `newton`.
    *operands : array
        What the roots depend on. `residual` must take it from its arguments, not from around it:
        the search then runs on constants and nothing of it is recorded.
    steps : int
        Steps of the search.
    order : int
        Order of derivatives, as for `polish`.
    """
    constants = tuple(stop_gradient(x) for x in operands)
    t = newton(lambda t: residual(t, *constants), lower, upper, steps=steps)
    return polish(lambda t: residual(t, *operands), t, order=order)


def _quotient(xp: Any, value: Array, slope: Array) -> Array:
    """Return value / slope, and 0 where the slope is 0, with no bad number in its derivatives."""
    flat = slope == 0
    safe = xp.where(flat, xp.ones_like(slope), slope)
    return xp.where(flat, xp.zeros_like(value), value) / safe


def _bits(xp: Any, x: Array) -> int:
    return 1 - round(math.log2(float(xp.finfo(x.dtype).eps)))
