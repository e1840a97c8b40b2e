"""Overlaps of regions: which pixels are summed, and how losses of classes are averaged."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses._classes import classes
from anymax.losses._reduction import reduced
from anymax.primitives._masked import nonzero, select


class Regions(NamedTuple):
    """Probabilities and targets (..., P, C) of P pixels, 0 where none takes part.

    Parameters
    ----------
    keep : boolean array (..., P, C)
        What takes part.
    present : boolean array (..., C)
        Classes that count.
    weight : array (C,) or None
        Class weights.
    """

    xp: Any
    probs: Array
    target: Array
    keep: Array
    present: Array
    weight: Array | None
    dtype: Any

    def finish(self, loss: Array, reduction: str) -> Array:
        """The result of the losses (..., C) of the classes."""
        y = reduced(self.xp, loss, reduction, live=self.present, weight=self.weight)
        return _array.cast(self.xp, y, self.dtype)


def regions(
    function: str,
    probs: Array,
    target: Array,
    *,
    axis: int,
    where: Array | None,
    weight: Array | None = None,
    which: str,
    per_sample: bool,
    reduction: str,
    soft: bool = True,
) -> Regions:
    """Check, promote and arrange the arguments of a loss on regions."""
    if which not in ("present", "all"):
        raise ValueError(f"{function}: classes is {which!r}; 'present' or 'all' fits")
    _array.namespace(function, probs=probs, target=target, where=where, weight=weight)
    _array.required(function, probs=probs, target=target)
    if soft and _array.is_bool(target):
        xp = _array.namespace(function, probs=probs)
        target = xp.astype(target, _array.float_dtype(xp, (probs,)))
    c = classes(
        function, probs, target, axis=axis, where=where, weight=weight, reduction=reduction,
        soft=soft,
    )  # fmt: skip
    xp = c.xp
    keep, p, t = (
        pixels(xp, x, 1, per_sample, function)
        for x in (c.keep, c.logits, select(xp, c.keep, c.probabilities()))
    )
    present = xp.any(keep if which == "all" else t != 0, axis=-2)
    keep = keep & present[..., None, :]  # NaN of a class that does not count leaks nowhere
    p, t = select(xp, keep, p), select(xp, keep, t)
    return Regions(xp, p, t, keep, present, c.weight, c.dtype)


def pixels(xp: Any, x: Array, last: int, per_sample: bool, function: str) -> Array:
    """`x` with all axes but the `last` ones, and the first with `per_sample`, merged into one."""
    first = 1 if per_sample else 0
    if x.ndim < first + last:
        raise ValueError(f"{function}: per_sample needs an axis of samples beside that of classes")
    lead, tail = tuple(x.shape[:first]), tuple(x.shape[x.ndim - last :])
    count = _array.size(x.shape[first : x.ndim - last])
    return xp.reshape(x, (*lead, count, *tail))


def tversky(
    a: Regions, alpha: float, beta: float, smooth: float, eps: float, squared: bool = False
) -> Array:
    """One minus the Tversky index (..., C) of each class."""
    xp, p, t = a.xp, a.probs, a.target
    both = xp.sum(p * t, axis=-2)
    mine, theirs = (xp.sum(x * x if squared else x, axis=-2) for x in (p, t))
    total = both + alpha * (mine - both) + beta * (theirs - both) + smooth
    small = total < eps
    least = xp.full_like(total, eps)
    return 1 - (both + smooth) / nonzero(xp, xp.where(small, least, total))


def focused(xp: Any, loss: Array, gamma: float) -> Array:
    """``loss ** gamma``, with gradient 0 at 0."""
    if gamma == 1.0:
        return loss
    none = loss <= 0
    base = xp.where(none, xp.ones_like(loss), loss)
    return select(xp, ~none, xp.pow(base, xp.full_like(loss, gamma)))
