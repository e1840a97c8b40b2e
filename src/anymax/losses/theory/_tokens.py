"""Examples of tokens that one query attends to: checked arrays, and logits behind the mask."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array, _shapes
from anymax._array import Array
from anymax.primitives._masked import select
from anymax.softmaxes._operands import operands


class Tokens(NamedTuple):
    """Tokens (..., T, D) in float32 or wider, 0 where they take no part; `keep` (..., T)."""

    xp: Any
    dtype: Any
    x: Array
    keep: Array
    arrays: tuple[Array, ...]

    @property
    def live(self) -> Array:
        """Examples (...) with a token."""
        return self.xp.any(self.keep, axis=-1)

    def query(self, z: Array, w: Array) -> Array:
        """W z (..., D), 0 in examples without a token, whose z may hold anything."""
        z = select(self.xp, self.live[..., None], z)
        return self.xp.matmul(z, self.xp.matrix_transpose(w))

    def scores(self, v: Array) -> Array:
        """The value <v, x_t> of each token (..., T)."""
        return self.xp.sum(self.x * v, axis=-1)

    def finish(self, y: Array) -> Array:
        return _array.cast(self.xp, y, self.dtype)


def tokens(function: str, shapes: str, x: Array, where: Array | None, **others: Array) -> Tokens:
    """Check and promote tokens and the arrays beside them."""
    _array.required(function, x=x, **others)
    _array.namespace(function, x=x, where=where, **others)
    ops = operands(function, x=x, **others)
    xp, (x, *rest) = ops.xp, ops.arrays
    _shapes.check(function, shapes, {"x": x, **dict(zip(others, rest))})
    if "z" in others:
        _array.check_broadcast(function, "z", others["z"], (*x.shape[:-2], x.shape[-1]), "a query")
    _array.check_mask(function, "where", where, x.shape[:-1], "the tokens of x")
    if where is None:
        keep = xp.ones_like(x[..., 0]) == 1
    else:
        keep = xp.broadcast_to(where, tuple(x.shape[:-1]))
    return Tokens(xp, ops.dtype, select(xp, keep[..., None], x), keep, tuple(rest))
