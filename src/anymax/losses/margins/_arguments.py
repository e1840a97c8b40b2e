"""What the margin losses take: labels, several labels, signs; margins and powers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax.losses._classes import Classes, class_axis, class_last, classes
from anymax.losses._elements import Elements, elements
from anymax.losses._targets import multi_hot, signed


def number(function: str, name: str, value: Any) -> float:
    """`value` as a float, refused unless finite."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} is {value!r}; a number fits") from None
    if not math.isfinite(value):
        raise ValueError(f"{function}: {name} is {value}; a finite number fits")
    return value


def check_power(function: str, power: Any) -> None:
    if power not in (1, 2):
        raise ValueError(f"{function}: power is {power!r}; 1 or 2 fits")


def signs(
    function: str,
    target: Array,
    where: Array | None,
    weight: Array | None,
    reduction: str,
    **arrays: Array,
) -> Elements:
    """`elements` with a target of signs last, which does not decide the dtype."""
    xp = _array.namespace(function, **arrays, target=target, where=where, weight=weight)
    _array.required(function, **arrays, target=target)
    one_each = where is not None and _array.is_bool(where) and where.shape == target.shape
    dtype = _array.float_dtype(xp, arrays.values())
    target = signed(xp, function, target, dtype, where if one_each else None)
    return elements(
        function, where=where, weight=weight, reduction=reduction, **arrays, target=target
    )


def indices_or_hot(function: str) -> Callable[..., Array]:
    """Reader of boolean targets, or lists of classes padded with -1, for :func:`multilabelled`."""
    return lambda xp, target, x, where: multi_hot(xp, function, target, tuple(x.shape), where)


def positive_signs(function: str) -> Callable[..., Array]:
    """Reader of targets of -1 and +1, or booleans, for :func:`multilabelled`."""

    def read(xp: Any, target: Array, x: Array, where: Array | None) -> Array:
        if tuple(target.shape) != tuple(x.shape):
            raise ValueError(
                f"{function}: target has shape {_array.shape_text(target.shape)}; signs have the "
                f"shape {_array.shape_text(x.shape)} of the logits, class indices one axis less"
            )
        return signed(xp, function, target, _array.float_dtype(xp, (x,)), where) > 0

    return read


def multilabelled(
    function: str,
    logits: Array,
    target: Array,
    read: Callable[..., Array],
    *,
    axis: int,
    where: Array | None,
    weight: Array | None = None,
    reduction: str,
) -> Classes:
    """`classes` of which several may be right; a right class that `where` masks is left out.

    ``read(xp, target, logits, where)``, classes last, says which are right.
    """
    xp = _array.namespace(function, logits=logits, target=target, where=where, weight=weight)
    _array.required(function, logits=logits, target=target)
    axis = class_axis(function, axis, logits.ndim)
    _array.check_mask(function, "where", where, logits.shape, "logits")
    if target.ndim != logits.ndim:
        raise ValueError(
            f"{function}: target has {target.ndim} axes, shape {_array.shape_text(target.shape)}; "
            f"{logits.ndim} fit, as the logits have"
        )
    x = class_last(xp, logits, axis)
    if where is not None:
        where = class_last(xp, xp.broadcast_to(where, tuple(logits.shape)), axis)
    right = read(xp, class_last(xp, xp.asarray(target), axis), x, where)
    if where is not None:
        right = right & where
    right = xp.astype(right, _array.float_dtype(xp, (x,)))
    return classes(function, x, right, where=where, weight=weight, reduction=reduction)
