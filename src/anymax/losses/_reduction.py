"""How every loss turns per-example values into its result."""

from __future__ import annotations

from typing import Any

from anymax._array import Array

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(function: str, reduction: str, allowed: tuple[str, ...] = REDUCTIONS) -> None:
    if reduction not in allowed:
        raise ValueError(
            f"{function}: reduction is {reduction!r}; one of {', '.join(map(repr, allowed))} fits"
        )


def mean_over(xp: Any, total: Array, count: Array) -> Array:
    """total / count, and 0 with zero gradient for a mean over nothing."""
    some = count != 0
    zero = xp.zeros_like(total)
    return xp.where(some, xp.where(some, total, zero) / xp.where(some, count, zero + 1), zero)
