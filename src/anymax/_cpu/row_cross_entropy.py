"""Cross entropy of rows of logits: loss, gradient, or both in one pass over the logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymax._cpu.arrays import (
    as_floats,
    borrow,
    empty,
    fill,
    flat_room,
    is_index,
    kept_rows,
    real_dtype,
    room_for_rows,
    take_rows,
)
from anymax._cpu.blocks import each_block
from anymax._cpu.cross_entropy_kernels import loss_rows

__all__ = ["backward", "forward", "forward_backward"]

_EVERY = np.ones((1, 1), np.uint8)


class _Call:
    """One call: operands as rows of numbers, results in the caller's library with room to write."""

    def __init__(self, operands: Any, options: dict[str, Any]) -> None:
        x, target, where, weight, row_scale = operands
        source = borrow(x)
        self.x, self.axis, self.shape = x, source.ndim - 1, source.shape
        self.dtype = source.dtype if source.dtype.itemsize > 2 else np.dtype(np.float32)
        self.rows = take_rows(source, self.axis)
        self.mask = kept_rows(where, self.shape, self.axis) if source.size else _EVERY
        self.hard, self.soft = np.empty(0, np.int64), np.empty((0, 0), self.dtype)
        if is_index(target):
            self.hard = np.ascontiguousarray(borrow(target), np.int64).reshape(-1)
        else:
            self.soft = as_floats(target, self.dtype).reshape(self.rows.shape)
        self.weight = np.empty(0, self.dtype) if weight is None else as_floats(weight, self.dtype)
        self.scale = self.each(1.0 if row_scale is None else row_scale)
        cap = options["softcap"] or 0.0
        self.numbers = options["label_smoothing"], options["lse_square_scale"], cap

    def each(self, value: Any) -> Any:
        """A number per row, from an array of the rows' shape or one number; None is 0."""
        if value is None or isinstance(value, (int, float)):
            return np.full(self.rows.shape[0], value or 0.0, self.dtype)
        values = as_floats(value, self.dtype)
        if values.shape == self.shape[:-1]:
            return values.reshape(-1)
        return np.ascontiguousarray(np.broadcast_to(values, self.shape[:-1])).reshape(-1)

    def losses(self, hint: Any, dlse: Any, dx: Any) -> tuple[Any, Any]:
        """Loss and logsumexp; dx, if there is room in it, becomes the gradient for the cotangents.

        Both are statistics: float32 for half types, which the caller rounds once.
        """
        results = [empty(self.shape[:-1], real_dtype(self.x, self.dtype), self.x) for _ in range(2)]
        loss, lse = (flat_room(borrow(result)) for result in results)
        inputs = [self.rows, self.hard, self.soft, self.scale, hint, dlse]

        def block(w: Any, a: Any, b: Any) -> None:
            x, hard, soft, scale, g, pull = a
            terms = hard, soft, self.weight, *self.numbers
            loss_rows.code(x.dtype)(x, w, *terms, scale, g, pull, *b)

        if self.rows.size:
            each_block(block, self.mask, inputs, [loss, lse, dx])
        else:
            fill(results[0], 0.0)
            fill(results[1], -np.inf)
        return results[0], results[1]

    def gradient(self, hint: Any, dlse: Any) -> tuple[tuple[Any, Any], Any]:
        """Loss, logsumexp, and the gradient of x for their cotangents, one of each a row."""
        dx = empty(self.shape, None, self.x)
        return self.losses(hint, dlse, room_for_rows(borrow(dx), self.axis)), dx


def forward(*operands: Any, **options: Any) -> tuple[Any, Any]:
    """Loss and logsumexp of every row; see the primitive row_cross_entropy."""
    call = _Call(operands, options)
    nothing = np.empty(0, call.dtype)
    return call.losses(nothing, nothing, np.empty((0, 0), call.rows.dtype))


def forward_backward(
    operands: Any, hint: Any, needs: Any = (True,), **options: Any
) -> tuple[tuple[Any, Any], Any]:
    """Loss and logsumexp, and the gradient of x for a cotangent of the loss known beforehand.

    Reads the logits from memory once. The hint is a number per row, or one number for all.
    """
    call = _Call(operands, options)
    return call.gradient(call.each(hint), np.empty(0, call.dtype))


def backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, **options: Any
) -> tuple[Any, None, None, None, None]:
    """Gradient with respect to x; there is none here for targets, weight and row_scale."""
    if not needs[0]:
        return None, None, None, None, None
    call = _Call(operands, options)
    dloss, dlse = cotangents
    pull = np.empty(0, call.dtype) if dlse is None else call.each(dlse)
    dloss = call.each(dloss)
    if operands[4] is not None:  # a row left out stays at 0 whatever comes in
        dloss = np.where(call.scale == 0, np.zeros_like(dloss), dloss)
    return call.gradient(dloss, pull)[1], None, None, None, None
