"""Parameters that are a number, or an array with one number a row."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.primitives._masked import kept, select
from anymax.softmaxes._rows import Rows, rows

Axis = int | tuple[int, ...] | None


class Bound(NamedTuple):
    """What a parameter has to satisfy, as a rule and in words."""

    low: float
    strict: bool
    words: str
    high: float = math.inf


POSITIVE = Bound(0.0, True, "a positive finite number")
AT_LEAST_ZERO = Bound(0.0, False, "a finite number that is not negative")
AT_LEAST_ONE = Bound(1.0, False, "a finite number of at least 1")
ABOVE_ONE = Bound(1.0, True, "a finite number above 1")
FRACTION = Bound(0.0, False, "a number in [0, 1]", 1.0)


def with_parameter(
    function: str,
    x: Array,
    axis: Axis,
    where: Array | None,
    bound: Bound,
    **parameter: Any,
) -> tuple[Rows, Array | None, float]:
    """Rows of logits, and their parameter: an array of one number a row and 0, or None and a float.

    The array is promoted together with `x` and has the shape of its rows, size 1 along the axes.
    """
    ((name, value),) = parameter.items()
    _array.required(function, x=x)
    if value is None:
        raise TypeError(f"{function}: {name} is None; {bound.words} or an array fits")
    if _array.is_scalar(value):
        return rows(function, x, axis, where), None, number(function, name, value, bound)
    xp = _array.namespace(function, x=x, where=where, **parameter)
    if _array.is_floating(value):
        x, value = _array.promote(xp, function, x=x, **parameter)
    else:  # counts must not be rounded to a half type
        (x,), (value,) = (
            _array.promote(xp, function, x=x),
            _array.promote(xp, function, **parameter),
        )
        value = _array.cast(xp, value, _array.accumulator(xp, x))
    check_rowwise(xp, function, name, value, x, _array.axes(function, axis, x.ndim), bound)
    r = rows(function, x, axis, where)
    if r.scalar:
        value = value[..., None]
    shape = tuple(1 if i in r.axis else n for i, n in enumerate(r.x.shape))
    return r, xp.broadcast_to(value, shape), 0.0


def number(function: str, name: str, value: Any, bound: Bound) -> float:
    """`value` as a float, refused unless it is within the bound."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} is {value!r}; {bound.words} fits") from None
    enough = value > bound.low or (value == bound.low and not bound.strict)
    if not (enough and value <= bound.high and math.isfinite(value)):
        raise ValueError(f"{function}: {name} is {value}; {bound.words} fits")
    return value


def check_rowwise(
    xp: Any, function: str, name: str, value: Array, x: Array, dims: tuple[int, ...], bound: Bound
) -> None:
    """Complain unless `value` has one number a row of `x`, each within the bound."""
    _array.check_broadcast(function, name, value, x.shape, "x")
    lead = x.ndim - value.ndim
    for a in dims:
        if a >= lead and value.ndim and value.shape[a - lead] != 1:
            raise ValueError(
                f"{function}: {name} has shape {_array.shape_text(value.shape)}; it must be the "
                f"same along the softmax axis {a}, so that axis needs size 1"
            )
    if _array.values_known(value):
        enough = value > bound.low if bound.strict else value >= bound.low
        good = xp.all(xp.isfinite(value) & enough & (value <= bound.high))
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{function}: {name} must be {bound.words} everywhere")


def scaled(function: str, r: Rows, scale: Any) -> tuple[Array, Array | None, float]:
    """Logits, mask and scale: a number stays a number, an array multiplies the logits here."""
    if _array.is_scalar(scale):
        return r.x, r.where, number(function, "alpha", scale, POSITIVE)
    if r.scalar:
        scale = scale[..., None]
    check_rowwise(r.xp, function, "alpha", scale, r.x, r.axis, POSITIVE)
    keep = kept(r.xp, r.x, r.where)
    return select(r.xp, keep, r.x) * scale, keep, 1.0
