"""Distances of triplets, in any norm."""

from __future__ import annotations

import math
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax.primitives._masked import select
from anymax.softmaxes._operands import Operands, common_shape, operands, spread


def prepared(
    function: str, anchor: Array, positive: Array, negative: Array, where: Array | None
) -> Operands:
    """The three arrays of one dtype and shape, zeros where no triplet takes part."""
    given = {"anchor": anchor, "positive": positive, "negative": negative}
    _array.namespace(function, **given, where=where)
    _array.required(function, **given)
    for name, x in given.items():
        if x.ndim == 0 or x.shape[-1] != anchor.shape[-1]:
            raise ValueError(
                f"{function}: {name} has shape {_array.shape_text(x.shape)}; (..., D) fits, with "
                "the same D for anchor, positive and negative"
            )
    o = operands(function, **given)
    shape = common_shape(function, **given)
    arrays = [spread(o.xp, x, shape) for x in o.arrays]
    _array.check_mask(function, "where", where, shape[:-1], "the unreduced loss")
    if where is not None:
        arrays = [select(o.xp, where[..., None], x) for x in arrays]
    return Operands(o.xp, o.dtype, tuple(arrays))


def gap(v: Operands, function: str, p: float, eps: float, swap: bool) -> Array:
    """The positive's distance less the negative's."""
    if not float(p) > 0:
        raise ValueError(f"{function}: p is {p!r}; a positive number fits")
    xp, (a, near, far) = v.xp, v.arrays
    distance = norm(xp, a - far + eps, p)
    if swap:
        distance = xp.minimum(distance, norm(xp, near - far + eps, p))
    return norm(xp, a - near + eps, p) - distance


def norm(xp: Any, x: Array, p: float) -> Array:
    """The p-norm of rows, with gradient 0 at 0; the largest entry is divided out first."""
    if not x.shape[-1]:
        return xp.sum(x, axis=-1)
    a = xp.abs(x)
    if math.isinf(p):
        return xp.max(a, axis=-1)
    if p == 1:
        return xp.sum(a, axis=-1)
    m = xp.max(_array.stop_gradient(a), axis=-1, keepdims=True)
    some = m != 0
    u = a / select(xp, some, m, 1.0)
    live = u != 0
    powers = u * u if p == 2 else select(xp, live, select(xp, live, u, 1.0) ** p)
    s = select(xp, some, xp.sum(powers, axis=-1, keepdims=True), 1.0)
    root = xp.sqrt(s) if p == 2 else s ** (1.0 / p)
    return select(xp, some, m * root)[..., 0]
