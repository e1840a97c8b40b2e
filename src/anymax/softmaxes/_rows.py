"""The arguments that every softmax shares: dtype, axes, mask and temperature of rows of logits."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array


class Rows(NamedTuple):
    """Logits ready for a primitive; `scalar`: an axis was added, for a 0-d array or axis=()."""

    xp: Any
    x: Array
    where: Array | None
    axis: tuple[int, ...]
    scale: float
    scalar: bool

    def finish(self, y: Array) -> Array:
        """`y`, of the shape of `x`, without the axis that was added."""
        return y[..., 0] if self.scalar else y


def rows(
    function: str,
    x: Array,
    axis: int | tuple[int, ...] | None,
    where: Array | None,
    temperature: float | Array = 1.0,
    *,
    negate: bool = False,
) -> Rows:
    """Check and normalise the arguments of a softmax, or of the softmin with `negate`.

    A temperature array divides the logits here, behind the mask; a number becomes `scale`.
    """
    _array.required(function, x=x)
    if temperature is None:
        raise TypeError(f"{function}: temperature is None; a positive number or an array fits")
    xp = _array.namespace(function, x=x, where=where, temperature=temperature)
    dims = _array.axes(function, axis, x.ndim)
    _array.check_mask(function, "where", where, x.shape, "x")
    scale = 1.0
    if _array.is_scalar(temperature):
        scale = 1.0 / positive(function, "temperature", temperature)
        (x,) = _array.promote(xp, function, x=x)
    else:
        x, temperature = _array.promote(xp, function, x=x, temperature=temperature)
        _check_temperature(xp, function, temperature, x, dims)
        x, where = divided(xp, -x if negate else x, where, temperature)
        negate = False
    scalar = x.ndim == 0 or not dims
    if scalar:
        x, dims = x[..., None], (x.ndim,)
        where = None if where is None else where[..., None]
    return Rows(xp, x, where, dims, -scale if negate else scale, scalar)


def positive(function: str, name: str, value: Any) -> float:
    """`value` as a float, refused unless positive and finite."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} is {value!r}; a positive number fits") from None
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{function}: {name} is {value}; a positive finite number fits")
    return value


def _check_temperature(xp, function: str, temperature: Array, x: Array, dims: tuple) -> None:
    _array.check_broadcast(function, "temperature", temperature, x.shape, "x")
    lead = x.ndim - temperature.ndim
    for a in dims:
        if a >= lead and temperature.ndim and temperature.shape[a - lead] != 1:
            raise ValueError(
                f"{function}: temperature has shape {_array.shape_text(temperature.shape)}; "
                f"it must be the same along the softmax axis {a}, so that axis needs size 1"
            )
    if _array.values_known(temperature):
        good = xp.all(xp.isfinite(temperature) & (temperature > 0))
        if _array.values_known(good) and not bool(good):  # traced inside jax.jit
            raise ValueError(f"{function}: temperature must be positive and finite everywhere")


def divided(xp: Any, x: Array, where: Array | None, temperature: Array) -> tuple[Array, Array]:
    """``x / temperature`` with masked logits selected away first, and the mask that did it."""
    keep = x != -xp.inf
    if where is not None:
        keep = keep & where
    return xp.where(keep, x, xp.zeros_like(x)) / temperature, keep
