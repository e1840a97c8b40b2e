"""How every loss turns per-example values into its result."""

from __future__ import annotations

from typing import Any

from anymax import _array
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


def reduced(
    xp: Any,
    loss: Array,
    reduction: str,
    *,
    live: Array | None = None,
    weight: Array | None = None,
    by_count: bool = False,
) -> Array:
    """Per-example losses, weighted and reduced.

    Parameters
    ----------
    loss : array (...)
        Losses before weights, finite where `live` is False.
    live : boolean array, broadcastable to `loss`
        Examples that count; others cost 0 and are left out of the mean.
    weight : array, broadcastable to `loss`
        Weights of the examples; weight 0 drops one whatever it costs.
    by_count : bool
        The mean divides by the number of examples rather than by the sum of their weights.
    """
    zero = xp.zeros_like(loss)
    if live is not None:
        loss = xp.where(live, loss, zero)
    if weight is not None:
        if live is not None:
            weight = xp.where(live, weight, xp.zeros_like(weight))
        dropped = (weight == 0) & ~xp.isfinite(loss)  # elsewhere weights of 0 have their gradient
        loss = xp.where(dropped, zero, loss) * weight
    if reduction == "none":
        return loss
    total = xp.sum(loss)
    if reduction == "sum":
        return total
    if weight is not None and not by_count:
        count = xp.broadcast_to(weight, loss.shape)
    elif live is not None or _unknown(loss):
        count = xp.ones_like(loss)
    else:
        return total / max(_array.size(loss.shape), 1)
    return mean_over(xp, total, xp.sum(count if live is None else xp.where(live, count, zero)))


def _unknown(x: Array) -> bool:
    return any(n != n for n in x.shape)
