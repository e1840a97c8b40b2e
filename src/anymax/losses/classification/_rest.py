"""What probabilities leave to others, 1 - p, and powers of it, with finite gradients at p = 1."""

from __future__ import annotations

from typing import Any

from anymax._array import Array
from anymax.primitives._masked import select


def rest(xp: Any, p: Array) -> Array:
    """1 - p of every class of rows (..., C) that sum to one, with its digits where p is near 1.

    One class of a row at most is above 1/2; what it leaves is the sum of the others.
    """
    most = p > 0.5
    others = xp.sum(select(xp, ~most, p), axis=-1, keepdims=True)
    return xp.where(most, others, 1.0 - p)


def power(xp: Any, r: Array, gamma: float) -> Array:
    """r ** gamma for r >= 0, and gradient 0 where r is: r ** (gamma - 1) may be infinite there."""
    if gamma == 0.0:
        return xp.ones_like(r)
    if gamma == 1.0:
        return r
    if gamma == 2.0:
        return r * r
    some = ~(r < float(xp.finfo(r.dtype).smallest_normal))  # NaN stays NaN
    return select(xp, some, xp.exp(gamma * xp.log(select(xp, some, r, 1.0))))
