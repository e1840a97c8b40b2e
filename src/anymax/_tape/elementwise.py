"""Derivatives of the elementwise functions, each a line of calculus."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anymax._tape.rules import RULES, fit, no_rule, rule

__all__: list[str] = []

Partial = Callable[..., Any]


def _elementwise(name: str, *partials: Partial | None) -> None:
    """Register `name`; a partial is `(xp, g, out, *args) -> gradient`, broadcasting not undone."""

    def rule_of(xp: Any, out: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        if kwargs:
            no_rule(name, f" with {', '.join(sorted(kwargs))}")

        def entry(partial: Partial | None, arg: Any) -> Any:
            return partial and (lambda g: fit(xp, partial(xp, g, out, *args), arg))

        return tuple(entry(p, a) for p, a in zip(partials, args, strict=True))

    RULES[name] = rule_of


def _constant(xp: Any, out: Any, *args: Any, **kwargs: Any) -> tuple[None, ...]:
    """Rule of functions whose derivative is zero wherever it exists."""
    return (None,) * len(args)


for _name in (
    "sign",
    "floor",
    "ceil",
    "round",
    "trunc",
    "floor_divide",
    "zeros_like",
    "ones_like",
    "empty_like",
):
    RULES[_name] = _constant

# Arithmetic.
_elementwise("positive", lambda xp, g, o, a: g)
_elementwise("conj", lambda xp, g, o, a: g)
_elementwise("negative", lambda xp, g, o, a: -g)
_elementwise("add", lambda xp, g, o, a, b: g, lambda xp, g, o, a, b: g)
_elementwise("subtract", lambda xp, g, o, a, b: g, lambda xp, g, o, a, b: -g)
_elementwise("multiply", lambda xp, g, o, a, b: g * b, lambda xp, g, o, a, b: g * a)
_elementwise("divide", lambda xp, g, o, a, b: g / b, lambda xp, g, o, a, b: -g * (o / b))
_elementwise("remainder", lambda xp, g, o, a, b: g, lambda xp, g, o, a, b: -g * ((a - o) / b))
_elementwise("square", lambda xp, g, o, a: g * (2 * a))
_elementwise("reciprocal", lambda xp, g, o, a: -g * (o * o))
_elementwise("sqrt", lambda xp, g, o, a: g * 0.5 / o)
_elementwise("abs", lambda xp, g, o, a: g * xp.sign(a))

# Exponentials and logarithms.
_elementwise("exp", lambda xp, g, o, a: g * o)
_elementwise("expm1", lambda xp, g, o, a: g * (o + 1))
_elementwise("log", lambda xp, g, o, a: g / a)
_elementwise("log1p", lambda xp, g, o, a: g / (a + 1))
_elementwise("log2", lambda xp, g, o, a: g / (a * math.log(2)))
_elementwise("log10", lambda xp, g, o, a: g / (a * math.log(10)))

# Trigonometric and hyperbolic functions. 1 - a^2 is factored: it keeps its digits near 1.
_elementwise("sin", lambda xp, g, o, a: g * xp.cos(a))
_elementwise("cos", lambda xp, g, o, a: -g * xp.sin(a))
_elementwise("tan", lambda xp, g, o, a: g * (1 + o * o))
_elementwise("asin", lambda xp, g, o, a: g / xp.sqrt((1 - a) * (1 + a)))
_elementwise("acos", lambda xp, g, o, a: -g / xp.sqrt((1 - a) * (1 + a)))
_elementwise("atan", lambda xp, g, o, a: g / (1 + a * a))
_elementwise("sinh", lambda xp, g, o, a: g * xp.cosh(a))
_elementwise("cosh", lambda xp, g, o, a: g * xp.sinh(a))
_elementwise("tanh", lambda xp, g, o, a: g * ((1 - o) * (1 + o)))
_elementwise("asinh", lambda xp, g, o, a: g / xp.hypot(a, xp.ones_like(a)))
_elementwise("acosh", lambda xp, g, o, a: g / xp.sqrt((a - 1) * (a + 1)))
_elementwise("atanh", lambda xp, g, o, a: g / ((1 - a) * (1 + a)))
_elementwise(
    "atan2",
    lambda xp, g, o, a, b: g * (b / (a * a + b * b)),
    lambda xp, g, o, a, b: -g * (a / (a * a + b * b)),
)
# The sign of a zero belongs to no derivative: copysign(0, b) gets 0.
_elementwise("copysign", lambda xp, g, o, a, b: g * (xp.sign(a) * xp.sign(o)), None)


def _array(xp: Any, value: Any, like: Any) -> Any:
    """Make a Python scalar an array next to `like`: libraries refuse functions of bare scalars."""
    return value if hasattr(value, "dtype") else xp.full_like(like, value)


def _over(xp: Any, a: Any, out: Any) -> Any:
    """Return a / out, and 0 where out is 0 (the middle of the subgradients of a norm)."""
    zero = out == 0
    return xp.where(zero, xp.zeros_like(out), a / xp.where(zero, xp.ones_like(out), out))


_elementwise(
    "hypot",
    lambda xp, g, o, a, b: g * _over(xp, a, o),
    lambda xp, g, o, a, b: g * _over(xp, b, o),
)


def _pow_base(xp: Any, g: Any, out: Any, a: Any, b: Any) -> Any:
    if not hasattr(b, "dtype"):
        return xp.zeros_like(g) if b == 0 else g * (b * a ** (b - 1))
    zero = b == 0  # 0 * 0**-1 must not become NaN
    slope = b * a ** xp.where(zero, xp.ones_like(b), b - 1)
    return g * xp.where(zero, xp.zeros_like(slope), slope)


def _pow_exponent(xp: Any, g: Any, out: Any, a: Any, b: Any) -> Any:
    a = _array(xp, a, out)
    flat = (a == 0) & (b >= 0)  # 0**b is 0 around any b > 0
    slope = out * xp.log(xp.where(flat, xp.ones_like(a), a))
    return g * xp.where(flat, xp.zeros_like(slope), slope)


_elementwise("pow", _pow_base, _pow_exponent)


def _share(xp: Any, a: Any, b: Any, out: Any) -> Any:
    """Return e^(a - out), the part of logaddexp(a, b) that is due to a, without inf - inf."""
    finite = xp.isfinite(out)
    zero = xp.zeros_like(out)
    part = xp.exp(xp.where(finite, a, zero) - xp.where(finite, out, zero))
    at_infinity = xp.where((a == out) & (out > 0), xp.ones_like(out), zero)
    return xp.where(finite, part, xp.where(xp.isnan(out), out, at_infinity))


_elementwise(
    "logaddexp",
    lambda xp, g, o, a, b: g * _share(xp, _array(xp, a, o), b, o),
    lambda xp, g, o, a, b: g * _share(xp, _array(xp, b, o), a, o),
)


def _winner(xp: Any, g: Any, wins: Any, ties: Any) -> Any:
    """Give the cotangent to the winner, half to each side of a tie."""
    return xp.where(ties, g * 0.5, xp.where(wins, g, xp.zeros_like(g)))


# Written as "not smaller" so that NaN, which compares with nothing, takes the cotangent along.
_elementwise(
    "maximum",
    lambda xp, g, o, a, b: _winner(xp, g, ~(a < b), a == b),
    lambda xp, g, o, a, b: _winner(xp, g, ~(b < a), a == b),
)
_elementwise(
    "minimum",
    lambda xp, g, o, a, b: _winner(xp, g, ~(a > b), a == b),
    lambda xp, g, o, a, b: _winner(xp, g, ~(b > a), a == b),
)


@rule("clip")
def _clip(xp: Any, out: Any, x: Any, low: Any = None, high: Any = None, /) -> tuple[Any, ...]:
    def masked(g: Any, mask: Any, arg: Any) -> Any:
        return fit(xp, xp.where(mask, g, xp.zeros_like(g)), arg)

    never = xp.zeros_like(out, dtype=xp.bool)
    above = never if high is None else x > high
    below = never if low is None else (x < low) & ~above
    return (
        lambda g: masked(g, ~(above | below), x),
        lambda g: masked(g, below, low),
        lambda g: masked(g, above, high),
    )


@rule("where")
def _where(xp: Any, out: Any, condition: Any, a: Any, b: Any, /) -> tuple[Any, ...]:
    return (
        None,
        lambda g: fit(xp, xp.where(condition, g, xp.zeros_like(g)), a),
        lambda g: fit(xp, xp.where(condition, xp.zeros_like(g), g), b),
    )


@rule("astype")
def _astype(xp: Any, out: Any, x: Any, dtype: Any, /, **options: Any) -> tuple[Any, ...]:
    return lambda g: xp.astype(g, x.dtype), None


@rule("full_like")
def _full_like(xp: Any, out: Any, x: Any, fill: Any, /, **options: Any) -> tuple[Any, ...]:
    return None, lambda g: fit(xp, g, fill)


@rule("full")
def _full(xp: Any, out: Any, shape: Any, fill: Any, **options: Any) -> tuple[Any, ...]:
    return None, lambda g: fit(xp, g, fill)


@rule("asarray")
def _asarray(xp: Any, out: Any, x: Any, /, **options: Any) -> tuple[Any, ...]:
    if isinstance(x, (list, tuple)):
        no_rule("asarray", " of a list of arrays (xp.stack has one)")
    return (lambda g: xp.astype(g, x.dtype, copy=False),)
