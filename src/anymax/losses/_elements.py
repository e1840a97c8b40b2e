"""Losses without a class axis: arrays that meet elementwise, one loss a place."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses._reduction import check_reduction, reduced
from anymax.softmaxes._operands import common_shape, operands, spread


class Elements(NamedTuple):
    """Arrays in float32 or wider, of one shape, 0 where nothing takes part."""

    xp: Any
    dtype: Any
    arrays: tuple[Any, ...]
    where: Array | None
    weight: Array | None

    def finish(self, loss: Array, reduction: str, *, by_count: bool = False) -> Array:
        """The result of per-place losses, in the dtype of the caller's arrays."""
        y = reduced(
            self.xp, loss, reduction, live=self.where, weight=self.weight, by_count=by_count
        )
        return _array.cast(self.xp, y, self.dtype)


def elements(
    function: str,
    *,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
    fill: float = 0.0,
    **arrays: Array | float | None,
) -> Elements:
    """Check and promote the arguments of an elementwise loss.

    `arrays` broadcast to one shape, that of the unreduced loss; None and Python numbers stay as
    they are. Where `where` is False they hold `fill`, so that nothing there is computed with.
    """
    check_reduction(function, reduction)
    _array.namespace(function, **arrays, where=where, weight=weight)
    given = operands(function, **arrays, weight=weight)
    xp, *values = given.xp, *given.arrays[: len(arrays)]
    named = dict(zip(arrays, values))
    shape = common_shape(function, **named)
    first = next(name for name, x in named.items() if x is not None and not _array.is_scalar(x))
    _array.check_mask(function, "where", where, shape, first)
    weight = given.arrays[-1]
    if weight is not None and not _array.is_scalar(weight):
        _array.check_broadcast(function, "weight", weight, shape, "the unreduced loss")
    elif weight is not None:
        raise TypeError(f"{function}: weight is {weight!r}; an array fits")

    def prepared(x: Any) -> Any:
        if x is None or _array.is_scalar(x):
            return x
        x = spread(xp, x, shape)
        return x if where is None else xp.where(where, x, xp.full_like(x, fill))

    where = None if where is None else xp.broadcast_to(where, shape)
    return Elements(xp, given.dtype, tuple(prepared(x) for x in values), where, weight)
