"""Levels nested in one another, told apart by one logit: steps of a staircase of sigmoids."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax.softmaxes._rows import positive
from anymax.softmaxes.structured._log_sigmoid import sigmoid


def threshold(level: Any, num_levels: int, spacing: Array | float) -> Any:
    """Where the step to `level` is; steps are evenly spaced around 0."""
    return spacing * (level - (num_levels + 1) / 2)


def staircase(
    xp: Any, x: Array, num_levels: int, steepness: Array | float, spacing: Array | float
) -> Array:
    """The expected level of an ordered logit."""
    total = xp.zeros_like(x)
    for i in range(1, num_levels + 1):
        total = total + sigmoid(xp, steepness * (x + threshold(i, num_levels, spacing)))
    return total


def log1mexp(xp: Any, d: Array) -> Array:
    """``log(1 - exp(-d))`` for d > 0; each branch where it keeps its digits."""
    small = d < 0.6931471805599453
    near = xp.log(-xp.expm1(-xp.where(small, d, xp.full_like(d, 0.5))))
    far = xp.log1p(-xp.exp(-xp.where(small, xp.ones_like(d), d)))
    return xp.where(small, near, far)


def count_levels(function: str, n: Any) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"{function}: num_levels is {n!r}; a positive int fits")
    if n.__index__() < 1:
        raise ValueError(f"{function}: num_levels is {n}; a positive int fits")
    return n.__index__()


def parameter(xp: Any, function: str, name: str, value: Any, x: Array) -> Array:
    """A positive number, or an array beside `x` in the dtype of the sums."""
    if _array.is_scalar(value) or value is None:
        return positive(function, name, value)
    _array.check_broadcast(function, name, value, x.shape, "x")
    if _array.values_known(value):
        good = xp.all(xp.isfinite(value) & (value > 0))
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{function}: {name} must be positive and finite everywhere")
    return _array.widen(xp, value)
