"""Lists of scored items: what takes part, its order, its gains and its pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax.losses._classes import class_axis, class_last
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives._masked import kept, nonzero, select
from anymax.softmaxes._operands import operands


class Lists(NamedTuple):
    """Scores and relevance (..., n) in float32 or wider, items last, 0 where none takes part.

    Parameters
    ----------
    keep : boolean array (..., n)
        Items that take part: allowed by ``where``, with a score other than -inf.
    unseen : boolean array (..., n)
        Items with score -inf that ``where`` allows.
    bad : boolean array (...)
        Lists whose result is NaN: a score or relevance that takes part is not finite.
    weight : array, broadcastable to (...), or None
        Weights of the lists.
    dtype
        Dtype of the result.
    """

    xp: Any
    scores: Array
    relevance: Array
    keep: Array
    unseen: Array
    bad: Array
    weight: Array | None
    dtype: Any

    @property
    def live(self) -> Array:
        """Lists (...) in which some item takes part."""
        return self.xp.any(self.keep, axis=-1)

    def finish(self, loss: Array, reduction: str) -> Array:
        """The result of the losses (...) of the lists."""
        loss = select(self.xp, ~self.bad, loss, self.xp.nan)
        y = reduced(self.xp, loss, reduction, live=self.live, weight=self.weight)
        return _array.cast(self.xp, y, self.dtype)


def lists(
    function: str,
    scores: Array,
    target: Array,
    *,
    axis: int,
    where: Array | None,
    weight: Array | None = None,
    reduction: str = "none",
) -> Lists:
    """Check, promote and arrange the arguments of a loss on lists."""
    check_reduction(function, reduction)
    _array.namespace(function, scores=scores, target=target, where=where, weight=weight)
    _array.required(function, scores=scores, target=target)
    axis = class_axis(function, axis, scores.ndim)
    if tuple(target.shape) != tuple(scores.shape):
        raise ValueError(
            f"{function}: target has shape {_array.shape_text(target.shape)}; one relevance a "
            f"score fits, {_array.shape_text(scores.shape)}"
        )
    _array.check_mask(function, "where", where, scores.shape, "scores")
    given = operands(function, scores=scores, target=target, weight=weight)
    xp, (s, r, weight) = given.xp, given.arrays
    rows = tuple(n for a, n in enumerate(scores.shape) if a != axis)
    if weight is not None:
        _array.required(function, weight=weight)
        _array.check_broadcast(function, "weight", weight, rows, "the lists")
    s, r = class_last(xp, s, axis), class_last(xp, r, axis)
    if where is not None:
        where = class_last(xp, xp.broadcast_to(where, tuple(scores.shape)), axis)
    keep = kept(xp, s, where)
    unseen = ~keep if where is None else where & ~keep
    s, r = select(xp, keep, s), select(xp, keep | unseen, r)
    wrong = keep & ~(xp.isfinite(s) & xp.isfinite(r))
    bad = xp.any(wrong, axis=-1)
    s, r = select(xp, ~bad[..., None], s), select(xp, ~bad[..., None], r)
    return Lists(xp, s, r, keep, unseen, bad, weight, given.dtype)


def ranks(xp: Any, x: Array, keep: Array) -> Array:
    """Places 1, 2, ... (..., n) in descending order, as constants; equal items by index.

    What takes no part comes last.
    """
    key = select(xp, keep, -stop_gradient(x), xp.inf)
    order = xp.argsort(key, axis=-1, stable=True)
    return xp.astype(xp.argsort(order, axis=-1, stable=True), x.dtype) + 1


def discounts(xp: Any, place: Array) -> Array:
    """``log2(1 + place)``, by which the gain at a place is divided."""
    return xp.log2(1 + place)


def gains(a: Lists, k: int | None = None) -> Array:
    """``2^r - 1`` over the best possible DCG of the first `k`; constants, 0 without relevance."""
    xp = a.xp
    r = stop_gradient(a.relevance)
    gain = select(xp, a.keep, xp.pow(xp.full_like(r, 2.0), select(xp, a.keep, r)) - 1)
    n = gain.shape[-1]
    best = -xp.sort(-gain, axis=-1)
    place = xp.astype(_array.arange(xp, n, gain), gain.dtype) + 1
    best = best / discounts(xp, place)
    best = best if k is None else best[..., : min(k, n)]
    ideal = xp.sum(best, axis=-1, keepdims=True)
    return select(xp, ideal != 0, gain / nonzero(xp, ideal))


def pairs(x: Array) -> Array:
    """``x_i - x_j`` (..., i, j)."""
    return x[..., :, None] - x[..., None, :]


def both(keep: Array) -> Array:
    """Pairs (..., i, j) of items that both take part."""
    return keep[..., :, None] & keep[..., None, :]


def softplus(xp: Any, x: Array) -> Array:
    """``log(1 + exp(x))``, with right derivatives of every order at 0 and far from it."""
    positive = x >= 0
    e = xp.exp(xp.where(positive, -x, x))
    return xp.where(positive, x, xp.zeros_like(x)) + xp.log1p(e)
