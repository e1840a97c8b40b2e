"""Positive parts of the differences between logits, and sums over pairs of them."""

from __future__ import annotations

from typing import Any

from anymax._array import Array, stop_gradient
from anymax.losses._classes import Classes
from anymax.losses._reduction import reduced
from anymax.primitives._masked import select


def hinge(xp: Any, z: Array, power: int = 1) -> Array:
    """``max(0, z) ** power``, whose slope at 0 is 0; NaN stays."""
    y = xp.where(z <= 0, xp.zeros_like(z), z)
    return y * y if power == 2 else y


def rivals(c: Classes) -> Array:
    """The classes (..., C) that take part and are not the target."""
    return c.keep & (c.probabilities() == 0)


def excess(c: Classes, margin: float) -> Array:
    """By how much each rival's logit comes nearer than the margin; 0 for other classes."""
    z = c.logits - c.at_target(c.logits)[..., None] + margin
    return select(c.xp, rivals(c), z)


def worst_excess(c: Classes, margin: float) -> Array:
    """The excess (...) of the first of the highest rivals, 0 where there is none."""
    xp, rival = c.xp, rivals(c)
    first = _first_highest(xp, c.logits, rival)
    return xp.sum(select(xp, first, excess(c, margin)), axis=-1)


def _first_highest(xp: Any, x: Array, keep: Array) -> Array:
    """Mask of one kept entry a row: the first of the largest; NaN is larger than all."""
    if 0 in x.shape:
        return keep
    x = stop_gradient(x)
    nan = keep & xp.isnan(x)
    key = select(xp, keep & ~nan, x, -xp.inf)
    top = xp.max(key, axis=-1, keepdims=True)
    tied = xp.where(xp.any(nan, axis=-1, keepdims=True), nan, keep & (key == top))
    return tied & (xp.cumulative_sum(xp.astype(tied, x.dtype), axis=-1) <= 1)


def count_of(xp: Any, mask: Array, like: Array) -> Array:
    """How many of each row are True, in the dtype of `like`; at least 1, as it is divided by."""
    n = xp.sum(xp.astype(mask, like.dtype), axis=-1)
    return xp.where(n == 0, xp.ones_like(n), n)


def finish_by_count(c: Classes, loss: Array, reduction: str) -> Array:
    """As ``c.finish``, but the mean divides by the number of examples."""
    xp = c.xp
    loss = loss + select(xp, c.hopeless, xp.full_like(loss, xp.inf))
    weight = None
    if c.weight is not None:
        weight = xp.sum(c.probabilities() * c.weight, axis=-1)
    y = reduced(xp, loss, reduction, live=c.live, weight=weight, by_count=True)
    return xp.astype(y, c.dtype)


def pairwise_hinge(xp: Any, x: Array, right: Array, wrong: Array, margin: float) -> Array:
    r"""Sum (...) of ``max(0, margin - (x_a - x_b))`` over right classes a and wrong classes b.

    Each class counts the pairs in which it is active: with :math:`u_a = x_a - margin` the sum is
    :math:`\sum_b x_b\,\#\{a: u_a < x_b\} - \sum_a u_a\,\#\{b: x_b > u_a\}`, and ranks, which
    sorting gives, count without storing pairs.
    """
    if 0 in x.shape:
        return xp.sum(select(xp, wrong, x), axis=-1)
    still = stop_gradient(x)
    nan = xp.any((right | wrong) & xp.isnan(still), axis=-1)
    low = select(xp, wrong, still, xp.inf)
    high = select(xp, right, still - margin, xp.inf)
    among_all = _ranks(xp, xp.concat([low, high], axis=-1), x)  # equal ones: the wrong class first
    n = x.shape[-1]
    below = among_all[..., :n] - _ranks(xp, low, x)
    total = xp.sum(xp.astype(wrong, x.dtype), axis=-1, keepdims=True)
    above = total - (among_all[..., n:] - _ranks(xp, high, x))
    # Differences from the highest wrong class: no active pair reaches above it, so that numbers
    # that large logits share do not cancel.
    top = xp.max(select(xp, wrong, still, -xp.inf), axis=-1, keepdims=True)
    centre = select(xp, xp.isfinite(top), top)
    gain = select(xp, wrong & (below > 0), x - centre) * select(xp, wrong, below)
    cost = select(xp, right & (above > 0), x - centre - margin) * select(xp, right, above)
    return select(xp, ~nan, xp.sum(gain - cost, axis=-1), xp.nan)


def _ranks(xp: Any, x: Array, like: Array) -> Array:
    """How many entries of each row come before each in ascending order, equal ones by index."""
    order = xp.argsort(x, axis=-1, stable=True)
    return xp.astype(xp.argsort(order, axis=-1, stable=True), like.dtype)
