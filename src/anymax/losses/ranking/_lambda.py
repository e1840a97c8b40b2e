"""The weighted pairs of LambdaLoss."""

from __future__ import annotations

import math
from typing import Any

from anymax._array import Array
from anymax.losses.ranking._lists import Lists, both, discounts, gains, pairs, ranks, softplus
from anymax.primitives._masked import select

SCHEMES = ("lambdarank", "ndcgLoss1", "ndcgLoss2", "ndcgLoss2++", "ranknet")


def pair_weights(a: Lists, scheme: str, k: int | None, mu: float) -> tuple[Array, Array]:
    """Weights (..., i, j) of the pairs, and which pairs there are; all of it constant."""
    xp = a.xp
    place = ranks(xp, a.scores, a.keep)
    first = a.keep if k is None else a.keep & (place <= k)
    some = both(first)
    if scheme != "ndcgLoss1":
        some = some & (pairs(a.relevance) > 0)
    if scheme == "ranknet":
        return xp.ones_like(pairs(a.relevance)), some
    gain, discount = gains(a, k), discounts(xp, place)
    if scheme == "ndcgLoss1":
        w = (gain / discount)[..., :, None]
        return xp.broadcast_to(w, some.shape), some
    gap = xp.abs(pairs(gain))
    if scheme == "lambdarank":
        return xp.abs(pairs(1 / discount)) * gap, some
    apart = xp.abs(pairs(place))
    apart = select(xp, apart > 0, apart, 1.0)
    w = xp.abs(1 / discounts(xp, apart) - 1 / discounts(xp, apart + 1)) * gap
    if scheme == "ndcgLoss2++":
        w = mu * w + xp.abs(pairs(1 / discount)) * gap
    return w, some


def pair_losses(xp: Any, d: Array, w: Array, eps: float) -> Array:
    """``-log2(max(max(sigmoid(d), eps)^w, eps))`` of weighted differences; eps 0: no caps."""
    loss = softplus(xp, -d)
    if eps:
        loss = _at_most(xp, loss, -math.log(eps))
        return _at_most(xp, w * loss, -math.log(eps)) / math.log(2)
    return w * loss / math.log(2)


def _at_most(xp: Any, x: Array, cap: float) -> Array:
    return xp.where(x > cap, xp.full_like(x, cap), x)
