"""Sigmoid and its logarithm, whose derivatives of every order are right, at 0 and at infinity too.

The sign is split with `where` rather than with `abs` or `minimum`: those have no second derivative
at 0, where every network that starts from zero weights sits.
"""

from __future__ import annotations

from typing import Any

from anymax._array import Array
from anymax.primitives._masked import select


def sigmoid(xp: Any, x: Array) -> Array:
    """``1 / (1 + exp(-x))`` to full relative precision, far below 0 too."""
    positive = x >= 0
    e = _decay(xp, x, positive)
    return xp.where(positive, xp.ones_like(e), e) / (1.0 + e)


def log_sigmoid(xp: Any, x: Array) -> Array:
    """``-log(1 + exp(-x))`` to full relative precision; -inf gives -inf, and gradient 0."""
    some = x != -xp.inf
    x = select(xp, some, x)
    positive = x >= 0
    tail = xp.log1p(_decay(xp, x, positive))
    return select(xp, some, xp.where(positive, xp.zeros_like(x), x) - tail, -xp.inf)


def _decay(xp: Any, x: Array, positive: Array) -> Array:
    """``exp(-|x|)``, which cannot overflow."""
    return xp.exp(xp.where(positive, -x, x))
