"""Cross entropy of a linear layer: products by BLAS, a chunk of logits at a time, then the sweep
of ``row_cross_entropy`` over the chunk, which becomes its gradient in place.

BLAS uses its own threads, so it is called outside the pool: never both at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from anymax._cpu.arrays import as_floats, borrow, empty, flat_room, kept_rows, real_dtype
from anymax._cpu.blocks import each_block, narrow_cells
from anymax._cpu.cross_entropy_kernels import loss_rows
from anymax._cpu.gemm import product
from anymax._cpu.linear_rows import bad_rows, clean, live_ranges
from anymax.primitives._linear import chunks

__all__ = ["backward", "forward", "forward_backward"]

_PIECE = 1 << 17  # cells that are copied aside while their gradient takes their place: half of L2
_WIDENED = 1 << 21  # cells of a half-precision w that are widened at a time

Array = np.ndarray[Any, Any]


class _Call:
    """One call: operands as NumPy arrays of the dtype that is computed in."""

    def __init__(self, operands: Any, options: dict[str, Any]) -> None:
        hidden, w, target, bias, where, weight, row_scale = operands
        self.like = hidden
        stored = borrow(hidden)
        self.half = stored.dtype.itemsize == 2
        self.dtype = np.dtype(np.float32) if self.half else stored.dtype
        self.h = as_floats(hidden, self.dtype)
        self.w = borrow(w) if self.half else as_floats(w, self.dtype)
        self.count, self.classes = self.h.shape[0], self.w.shape[0]
        self.bad_h = bad_rows(self.h)
        self.h = clean(self.h, self.bad_h)
        self.bad_w = np.empty(0, np.int64)
        if self.half:
            found = [bad_rows(block) + start for start, block in self._widened()]
            self.bad_w = np.concatenate([self.bad_w, *found])
        else:
            self.bad_w = bad_rows(self.w)
            self.w = clean(self.w, self.bad_w)
        self.target = np.ascontiguousarray(borrow(target), np.int64)
        self.mask = kept_rows(where, (self.count, self.classes), 1)
        self.weight = np.empty(0, self.dtype) if weight is None else as_floats(weight, self.dtype)
        self.scale = self.each(1.0 if row_scale is None else row_scale)
        self.bias = None if bias is None else as_floats(bias, self.dtype)
        cap = options["softcap"] or 0.0
        self.numbers = options["label_smoothing"], options["lse_square_scale"], cap
        self.eps = options["filter_eps"]
        self.ranges = chunks(self.count, self.classes, options["chunk_size"])

    def each(self, value: Any) -> Array:
        """A number per row; None is 0."""
        if value is None or isinstance(value, (int, float)):
            return np.full(self.count, value or 0.0, self.dtype)
        return np.ascontiguousarray(np.broadcast_to(as_floats(value, self.dtype), (self.count,)))

    def _widened(self) -> Iterator[tuple[int, Array]]:
        """Blocks of a half-precision w in float32, with the row they begin at."""
        step = max(1, _WIDENED // max(self.w.shape[1], 1))
        for start in range(0, self.classes, step):
            yield start, as_floats(self.w[start : start + step], self.dtype)

    def blocks(self) -> Iterator[tuple[int, Array]]:
        """w, whole or widened block by block, without its bad rows."""
        if not self.half:
            yield 0, self.w
            return
        for start, block in self._widened():
            inside = self.bad_w[(self.bad_w >= start) & (self.bad_w < start + len(block))]
            yield start, clean(block, inside - start)

    def logits(self, start: int, stop: int, z: Array) -> None:
        for c, block in self.blocks():
            product(self.h[start:stop], block.T, z[:, c : c + len(block)], self.like)
        if self.bad_w.size:
            z[:, self.bad_w] = np.nan
        z[self._bad(start, stop)] = np.nan
        if self.bias is not None:
            z += self.bias
            z[:, self.bias == -np.inf] = -np.inf  # masked for certain, whatever was there

    def _bad(self, start: int, stop: int) -> Array:
        return self.bad_h[(self.bad_h >= start) & (self.bad_h < stop)] - start

    def sweep(self, z: Array, start: int, stop: int, each: Any, loss: Array, lse: Array) -> None:
        """Loss and lse of the rows of a chunk; with `each`, cotangents, z becomes its gradient."""
        here = slice(start, stop)
        nothing, cell = np.empty(0, self.dtype), np.empty((0, 0), self.dtype)
        hint, pull = (nothing, nothing) if each is None else (each[0][here], each[1])
        inputs = [z, self.target[here], self.scale[here], hint]
        inputs += [] if pull.size == 0 else [pull[here]]
        step = max(1, _PIECE // max(self.classes, 1))
        code = loss_rows.code(self.dtype)

        def block(w: Array, ins: list[Array], outs: list[Array]) -> None:
            x, hard, scale, g, *pulls = ins
            aside = np.empty((min(step, len(x)) if each else 0, self.classes), self.dtype)
            for i in range(0, len(x), step):
                at = slice(i, i + step)
                y, room = x[at], cell
                if each is not None:
                    y, room = aside[: len(y)], y
                    np.copyto(y, room)
                kept = w if w.shape[0] == 1 else w[at]
                terms = hard[at], cell, self.weight, *self.numbers
                p = pulls[0][at] if pulls else nothing
                code(y, kept, *terms, scale[at], g[at], p, outs[0][at], outs[1][at], room)

        mask = self.mask if self.mask.shape[0] == 1 else self.mask[here]
        each_block(block, mask, inputs, [loss[here], lse[here]])


def _run(call: _Call, each: Any, needs: Any) -> tuple[tuple[Any, Any], tuple[Any, ...]]:
    """Loss and lse; with `each`, a pair of cotangents a row, the gradients that are needed too."""
    real = real_dtype(call.like, call.dtype)
    results = [empty((call.count,), real, call.like) for _ in range(2)]
    loss, lse = (borrow(x) for x in results)
    features = call.h.shape[1]
    shapes = (call.count, features), (call.classes, features), None, (call.classes,)
    outs = [empty(s, real, call.like) if s and n else None for s, n in zip(shapes, needs)]
    dh, dw, _, db = (None if x is None else borrow(x) for x in outs)
    longest = max(stop - start for start, stop in call.ranges)
    room = np.empty((longest, call.classes), call.dtype)
    for x in (dw, db):
        if x is not None:
            x[...] = 0
    for start, stop in call.ranges:
        z = room[: stop - start]
        call.logits(start, stop, z)
        call.sweep(z, start, stop, each, loss, lse)
        if each is None:
            continue
        n = lse[start:stop]
        z[~(n < np.inf)] = 0  # NaN and inf would spread to the gradient of all that is met
        if db is not None:
            db += z.sum(axis=0)
        kept = live_ranges(z, call.eps, each)
        if dh is not None:
            _toward_hidden(call, z, kept, dh[start:stop])
        if dw is not None:
            for a, b in kept:
                product(z[:, a:b].T, call.h[start:stop], dw[a:b], call.like, add=True)
    grads = tuple(None if x is None else _stored_as(x, call) for x in outs)
    return (results[0], results[1]), (*grads, None, None, None)


def _toward_hidden(call: _Call, z: Array, kept: Any, out: Array) -> None:
    """out = z @ w over the ranges of classes that are kept."""
    out[...] = 0
    for c, block in call.blocks():
        for a, b in kept:
            a, b = max(a, c), min(b, c + len(block))
            if a < b:
                product(z[:, a:b], block[a - c : b - c], out, call.like, add=True)


def _stored_as(x: Any, call: _Call) -> Any:
    """A gradient in the dtype of the operands, rounded once."""
    if not call.half:
        return x
    out = empty(x.shape, None, call.like)
    cells = flat_room(borrow(out))
    if cells.size:
        narrow_cells.code(cells.dtype)(cells, borrow(x).reshape(-1))
    return out


def forward(*operands: Any, **options: Any) -> tuple[Any, Any]:
    """Loss and logsumexp of every row; see the primitive linear_cross_entropy."""
    return _run(_Call(operands, options), None, (False,) * 4)[0]


def forward_backward(
    operands: Any, hint: Any, needs: Any, **options: Any
) -> tuple[tuple[Any, Any], tuple[Any, ...]]:
    """Loss and logsumexp, and gradients for a cotangent of the loss known beforehand.

    Logits are computed once, where forward and backward apart compute them twice.
    """
    call = _Call(operands, options)
    return _run(call, (call.each(hint), np.empty(0, call.dtype)), needs[:4])


def backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, **options: Any
) -> tuple[Any, ...]:
    """Gradients of hidden, w and bias; there are none here for class weights and row_scale."""
    call = _Call(operands, options)
    dloss, dlse = cotangents
    pull = np.empty(0, call.dtype) if dlse is None else call.each(dlse)
    dloss = call.each(dloss)
    if operands[6] is not None:  # a row left out stays at 0 whatever comes in
        dloss = np.where(call.scale == 0, np.zeros_like(dloss), dloss)
    return _run(call, (dloss, pull), needs[:4])[1]
