"""The Lovasz extension of the Jaccard loss: errors sorted, each times what it adds to the loss."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax.primitives._masked import nonzero, select


def lovasz(xp: Any, errors: Array, truth: Array, keep: Array) -> Array:
    """Lovasz extension (...) of the Jaccard loss at errors (..., P) of pixels.

    Parameters
    ----------
    errors : array (..., P)
        0 where `keep` is False.
    truth, keep : boolean arrays (..., P)
        Pixels of the class, and pixels that take part.
    """
    if 0 in errors.shape:
        return xp.sum(errors, axis=-1)
    still = stop_gradient(errors)
    key = select(xp, keep, xp.where(xp.isnan(still), xp.full_like(still, -xp.inf), -still), xp.inf)
    order = xp.argsort(key, axis=-1, stable=True)  # largest first, equal errors by index
    inside = _sorted(xp, xp.astype(truth & keep, errors.dtype), order)
    outside = _sorted(xp, xp.astype(keep & ~truth, errors.dtype), order)
    left = xp.sum(inside, axis=-1, keepdims=True) - xp.cumulative_sum(inside, axis=-1)
    union = left + xp.cumulative_sum(inside + outside, axis=-1)
    loss = select(xp, union > 0, 1 - left / nonzero(xp, union))
    before = xp.concat([xp.zeros_like(loss[..., :1]), loss[..., :-1]], axis=-1)
    step = loss - before
    y = _sorted(xp, errors, order)
    used = (step != 0) | xp.isnan(stop_gradient(y))  # an infinite error that adds nothing is 0
    return xp.sum(select(xp, used, select(xp, used, y) * step), axis=-1)


def _sorted(xp: Any, x: Array, order: Array) -> Array:
    if _array.library(order) != "dask":
        return xp.take_along_axis(x, order, axis=-1)
    n = x.shape[-1]  # dask has no take_along_axis
    lead = x.shape[:-1]
    flat = xp.reshape(xp.broadcast_to(x, (*lead, n)), (-1, n))
    index = xp.reshape(order, (-1, n))
    rows = _array.arange(xp, flat.shape[0], index)[:, None] * n
    found = xp.reshape(flat, (-1,))[xp.reshape(index + rows, (-1,))]
    return xp.reshape(found, (*lead, n))
