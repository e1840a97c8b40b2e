"""Derivatives of products and of the linear algebra extension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import array_api_compat as compat

from anymax._tape.rules import RULES, fit, no_rule, rule, spread

__all__: list[str] = []


@rule("matmul", "linalg.matmul")
def _matmul(xp: Any, out: Any, a: Any, b: Any, /) -> tuple[Any, Any]:
    # Vectors become one-row or one-column matrices, and so does the cotangent.
    rows = xp.expand_dims(a, axis=0) if a.ndim == 1 else a
    columns = xp.expand_dims(b, axis=1) if b.ndim == 1 else b

    def whole(g: Any) -> Any:
        g = xp.expand_dims(g, axis=-1) if b.ndim == 1 else g
        return xp.expand_dims(g, axis=-2) if a.ndim == 1 else g

    def left(g: Any) -> Any:
        return xp.reshape(fit(xp, xp.matmul(whole(g), xp.matrix_transpose(columns)), rows), a.shape)

    def right(g: Any) -> Any:
        return xp.reshape(fit(xp, xp.matmul(xp.matrix_transpose(rows), whole(g)), columns), b.shape)

    return _typed(xp, left, a), _typed(xp, right, b)


def _typed(xp: Any, pull: Any, like: Any) -> Any:
    return lambda g: xp.astype(pull(g), like.dtype, copy=False)


@rule("vecdot", "linalg.vecdot")
def _vecdot(xp: Any, out: Any, a: Any, b: Any, /, *, axis: int = -1) -> tuple[Any, Any]:
    return (
        lambda g: fit(xp, xp.expand_dims(g, axis=axis) * b, a),
        lambda g: fit(xp, xp.expand_dims(g, axis=axis) * a, b),
    )


@rule("tensordot", "linalg.tensordot")
def _tensordot(
    xp: Any, out: Any, a: Any, b: Any, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> tuple[Any, Any]:
    if isinstance(axes, int):
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    summed_a = [i % a.ndim for i in axes[0]]
    summed_b = [i % b.ndim for i in axes[1]]
    free_a = [i for i in range(a.ndim) if i not in summed_a]
    free_b = [i for i in range(b.ndim) if i not in summed_b]

    def left(g: Any) -> Any:
        grad = xp.tensordot(g, b, axes=(tuple(range(len(free_a), g.ndim)), tuple(free_b)))
        # The summed axes come out in the order in which b has them.
        order = free_a + [summed_a[summed_b.index(i)] for i in sorted(summed_b)]
        return xp.permute_dims(grad, tuple(order.index(i) for i in range(a.ndim)))

    def right(g: Any) -> Any:
        grad = xp.tensordot(a, g, axes=(tuple(free_a), tuple(range(len(free_a)))))
        order = [summed_b[summed_a.index(i)] for i in sorted(summed_a)] + free_b
        return xp.permute_dims(grad, tuple(order.index(i) for i in range(b.ndim)))

    return _typed(xp, left, a), _typed(xp, right, b)


@rule("linalg.outer")
def _outer(xp: Any, out: Any, a: Any, b: Any, /) -> tuple[Any, Any]:
    def left(g: Any) -> Any:
        return xp.matmul(g, b)

    def right(g: Any) -> Any:
        return xp.matmul(a, g)

    return _typed(xp, left, a), _typed(xp, right, b)


@rule("linalg.cross")
def _cross(xp: Any, out: Any, a: Any, b: Any, /, *, axis: int = -1) -> tuple[Any, Any]:
    def cross(u: Any, v: Any) -> Any:
        return xp.linalg.cross(*xp.broadcast_arrays(u, v), axis=axis)

    return lambda g: fit(xp, cross(b, g), a), lambda g: fit(xp, cross(g, a), b)


RULES["linalg.matrix_transpose"] = lambda xp, out, x, /: (lambda g: xp.matrix_transpose(g),)


@rule("linalg.trace")
def _trace(xp: Any, out: Any, x: Any, /, *, offset: int = 0, dtype: Any = None) -> tuple[Any]:
    def pull(g: Any) -> Any:
        diagonal = xp.eye(*x.shape[-2:], k=offset, dtype=x.dtype, device=compat.device(x))
        g = xp.reshape(g, (*g.shape, 1, 1))
        return xp.astype(g, x.dtype, copy=False) * diagonal

    return (pull,)


@rule("linalg.vector_norm")
def _vector_norm(
    xp: Any, out: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2
) -> tuple[Any]:
    def pull(g: Any) -> Any:
        norm = spread(xp, out, x, axis, keepdims)
        flat = norm == 0
        safe = xp.where(flat, xp.ones_like(norm), norm)
        size = xp.abs(x)
        if ord in (math.inf, -math.inf):
            hit = xp.astype(size == norm, x.dtype)
            slope = hit / xp.sum(hit, axis=axis, keepdims=True)
        elif ord == 0:
            slope = xp.zeros_like(x)  # counts: constant almost everywhere
        else:
            slope = (xp.where(flat, xp.ones_like(size), size) / safe) ** (ord - 1)
        slope = xp.where(flat, xp.zeros_like(slope), slope * xp.sign(x))
        return spread(xp, g, x, axis, keepdims) * slope

    return (pull,)


@rule("linalg.matrix_norm")
def _matrix_norm(
    xp: Any, out: Any, x: Any, /, *, keepdims: bool = False, ord: Any = "fro"
) -> tuple[Any]:
    if ord != "fro":
        no_rule("linalg.matrix_norm", f" with ord={ord!r}")
    return _vector_norm(xp, out, x, axis=(-2, -1), keepdims=keepdims)


@rule("linalg.solve")
def _solve(xp: Any, out: Any, a: Any, b: Any, /) -> tuple[Any, Any]:
    vector = b.ndim == 1

    def right_matrix(g: Any) -> Any:
        g = xp.expand_dims(g, axis=-1) if vector else g
        return xp.linalg.solve(xp.matrix_transpose(a), g)

    def left(g: Any) -> Any:
        x = xp.expand_dims(out, axis=-1) if vector else out
        return fit(xp, -xp.matmul(right_matrix(g), xp.matrix_transpose(x)), a)

    def right(g: Any) -> Any:
        grad = right_matrix(g)
        return fit(xp, grad[..., 0] if vector else grad, b)

    return left, right


@rule("linalg.inv")
def _inv(xp: Any, out: Any, x: Any, /) -> tuple[Any]:
    turned = xp.matrix_transpose(out)
    return (lambda g: -xp.matmul(turned, xp.matmul(g, turned)),)


def _inverse_transpose(xp: Any, x: Any, g: Any) -> Any:
    return xp.reshape(g, (*g.shape, 1, 1)) * xp.matrix_transpose(xp.linalg.inv(x))


@rule("linalg.det")
def _det(xp: Any, out: Any, x: Any, /) -> tuple[Any]:
    return (lambda g: _inverse_transpose(xp, x, g * out),)


@rule("linalg.slogdet")
def _slogdet(xp: Any, out: Any, x: Any, /) -> tuple[Any]:
    # The sign is constant around every invertible matrix.
    return (lambda g: None if g[1] is None else _inverse_transpose(xp, x, g[1]),)


@rule("linalg.cholesky")
def _cholesky(xp: Any, out: Any, x: Any, /, *, upper: bool = False) -> tuple[Any]:
    def pull(g: Any) -> Any:
        factor = xp.matrix_transpose(out) if upper else out
        g = xp.matrix_transpose(g) if upper else g
        turned = xp.matrix_transpose(factor)
        inner = xp.tril(xp.matmul(turned, g))
        n = x.shape[-1]
        inner = inner * (1 - 0.5 * xp.eye(n, dtype=x.dtype, device=compat.device(x)))
        half = xp.linalg.solve(turned, inner)
        grad = xp.matrix_transpose(xp.linalg.solve(turned, xp.matrix_transpose(half)))
        return 0.5 * (grad + xp.matrix_transpose(grad))  # x is symmetric, so is its gradient

    return (pull,)
