"""Costs of examples that several losses start from, and parameters beside the logits."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax.losses._classes import Classes
from anymax.primitives._masked import select
from anymax.primitives.row_cross_entropy import row_cross_entropy
from anymax.softmaxes._operands import beside_tape


def cross_entropies(c: Classes, *, smoothing: float = 0.0, weighted: bool = False) -> Array:
    """Cross entropies (...), `weighted` by class; +inf where the target takes no part."""
    loss, _ = row_cross_entropy(
        select(c.xp, c.keep, c.logits, -c.xp.inf),
        c.target,
        c.where,
        c.weight if weighted else None,
        None,
        label_smoothing=smoothing,
        lse_square_scale=0.0,
        softcap=None,
    )
    return loss


def beside(function: str, logits: Array, **parameters: Any) -> tuple[Any, ...]:
    """Logits and parameters, of one library and floating dtype; numbers stay numbers."""
    _array.required(function, logits=logits)
    for name, value in parameters.items():
        if value is None:
            raise TypeError(f"{function}: {name} is None; a number or an array fits")
    if all(_array.is_scalar(value) for value in parameters.values()):
        return (logits, *parameters.values())
    xp = _array.namespace(function, logits=logits, **parameters)
    logits, *values = _array.promote(xp, function, logits=logits, **parameters)
    return (beside_tape(xp, logits), *values)  # under the tape too, if only a parameter is


def by_example(function: str, name: str, value: Any, c: Classes) -> Any:
    """A parameter with one number an example, checked; numbers stay numbers."""
    if _array.is_scalar(value):
        return value
    rows = c.logits.shape[:-1]
    _array.check_broadcast(function, name, value, rows, "the unreduced loss")
    return _array.cast(c.xp, beside_tape(c.xp, value), c.logits.dtype)
