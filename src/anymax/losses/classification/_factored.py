r"""The state of an output layer that is learnt without forming it, and its exact steps.

The weights are :math:`W = V U + 1 \omega^\top`, so that a step which moves all C rows of W alike
moves the (D, D) array U only.  Beside them :math:`U^{-\top}`, :math:`Q = W^\top W` and
:math:`\bar w = W^\top 1` are kept up to date.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.primitives._masked import select
from anymax.softmaxes._operands import operands
from anymax.softmaxes.structured._gather import check_index, rows


class Layer(NamedTuple):
    """C rows of D weights as v (C, D), u, u_inv_t, gram (D, D), omega, w_sum (D,)."""

    v: Array
    u: Array
    u_inv_t: Array
    omega: Array
    gram: Array
    w_sum: Array


class Requests(NamedTuple):
    """Classes (m, K) that are asked for, 0 in the place of -1, and which are there."""

    index: Array
    there: Array


class Gradients(NamedTuple):
    """Derivatives by the requested logits (m, K), 0 where none is, and by the sums q, s (m,)."""

    da: Array
    dq: Array
    ds: Array


def prepared(
    function: str, h: Array, index: Array, layer: Any, **gradients: Array
) -> tuple[Any, Any, Array, Requests, Layer, tuple[Array, ...]]:
    """Namespace, dtype of the results, and the checked arguments in float32 or wider."""
    if not isinstance(layer, (tuple, list)) or len(layer) != 6:
        raise TypeError(
            f"{function}: layer is a {type(layer).__name__}; a tuple of six arrays fits: "
            f"({', '.join(Layer._fields)})"
        )
    named = dict(zip(Layer._fields, layer))
    _array.required(function, h=h, index=index, **named, **gradients)
    _array.namespace(function, h=h, index=index, **named, **gradients)
    ops = operands(function, h=h, **named, **gradients)
    xp, (h, *rest) = ops.xp, ops.arrays
    state = Layer(*rest[:6])
    _check(function, h, index, state, gradients)
    requests = _requests(xp, function, index, state.v.shape[0])
    return xp, ops.dtype, h, requests, state, tuple(rest[6:])


def _requests(xp: Any, function: str, index: Array, num_classes: int) -> Requests:
    if _array.is_integer(index):
        index = _array.as_index(xp, index)
        there = index != -1
        index = xp.where(there, index, xp.zeros_like(index))
        check_index(xp, function, "index", index, num_classes, "classes")
        return Requests(index, there)
    said = _array.dtype_name(index)
    raise TypeError(f"{function}: index has dtype {said}; an integer dtype fits")


def _check(function: str, h: Array, index: Array, layer: Layer, gradients: dict) -> None:
    if h.ndim != 2:
        raise ValueError(f"{function}: h has shape {_array.shape_text(h.shape)}; (m, D) is needed")
    m, d = h.shape
    wanted = {"u": (d, d), "u_inv_t": (d, d), "omega": (d,), "gram": (d, d), "w_sum": (d,)}
    for name, shape in wanted.items():
        _fits(function, f"layer's {name}", getattr(layer, name), shape)
    if layer.v.ndim != 2 or layer.v.shape[1] != d:
        raise ValueError(
            f"{function}: layer's v has shape {_array.shape_text(layer.v.shape)}; (C, {d}) fits"
        )
    if index.ndim != 2 or index.shape[0] != m:
        raise ValueError(
            f"{function}: index has shape {_array.shape_text(index.shape)}; ({m}, K) fits"
        )
    for name, x in gradients.items():
        _fits(function, name, x, tuple(index.shape) if name == "da" else (m,))


def _fits(function: str, name: str, x: Array, shape: tuple) -> None:
    if tuple(x.shape) != tuple(shape):
        raise ValueError(
            f"{function}: {name} has shape {_array.shape_text(x.shape)}; "
            f"{_array.shape_text(shape)} fits"
        )


def logits(xp: Any, h: Array, requests: Requests, layer: Layer) -> Array:
    """The requested entries (m, K) of ``h @ w.T``; 0 for those that aren't there."""
    turned = xp.matmul(h, xp.matrix_transpose(layer.u))
    found = rows(xp, layer.v, requests.index)
    a = xp.sum(found * turned[:, None, :], axis=-1) + xp.sum(h * layer.omega, axis=-1)[:, None]
    return select(xp, requests.there, a)


def step(
    xp: Any, h: Array, requests: Requests, g: Gradients, layer: Layer, lr: float
) -> tuple[Array, Array, Layer]:
    """Gradient by h, new rows (m, K, D) of v, and the new state with the old v.

    The weights move by ``-lr * gradient.T @ h``, where the gradient (m, C) by all logits is
    ``ds[:, None] + 2 * dq[:, None] * logits``, and `da` more at the requested ones.
    """
    transpose = xp.matrix_transpose
    found = rows(xp, layer.v, requests.index)
    asked = xp.sum(g.da, axis=-1)
    rest = xp.matmul(xp.sum(g.da[:, :, None] * found, axis=1), layer.u)
    rest = rest + asked[:, None] * layer.omega + g.ds[:, None] * layer.w_sum
    pull = 2.0 * g.dq[:, None] * h
    back = xp.matmul(pull, layer.gram)
    dh = back + rest
    totals, products = _overlap(xp, requests, g.da)
    products = products + _products(xp, pull, back, rest, asked, g.ds, float(layer.v.shape[0]))
    u = layer.u - lr * xp.matmul(xp.matmul(layer.u, transpose(h)), pull)
    u_inv_t = layer.u_inv_t + lr * _inverse(xp, h, pull, layer.u_inv_t, lr)
    omega = layer.omega - lr * _push(xp, h, g, xp.sum(h * layer.omega, axis=-1), g.ds)
    count = g.ds * float(layer.v.shape[0]) + asked
    w_sum = layer.w_sum - lr * _push(xp, h, g, xp.sum(h * layer.w_sum, axis=-1), count)
    half = xp.matmul(transpose(h), 0.5 * lr * lr * xp.matmul(products, h) - lr * dh)
    gram = layer.gram + half + transpose(half)
    turned = xp.matmul(h, transpose(u_inv_t))
    return (
        dh,
        found - lr * xp.matmul(totals, turned),
        Layer(layer.v, u, u_inv_t, omega, gram, w_sum),
    )


def _overlap(xp: Any, requests: Requests, da: Array) -> tuple[Array, Array]:
    """Columns (m, K, m) of Y, the derivatives (m, C) by the requested logits, and Y Y^T.

    Requests of one class get the same column, so it doesn't matter which of them writes its row.
    """
    m, k = da.shape
    flat = xp.reshape(requests.index, (m * k,))
    same = flat[:, None] == flat[None, :]
    columns = xp.reshape(select(xp, same, xp.reshape(da, (1, m * k))), (m, k, m, k))
    columns = xp.sum(columns, axis=-1)
    return columns, xp.sum(da[:, :, None] * columns, axis=1)


def _products(
    xp: Any, pull: Array, back: Array, rest: Array, asked: Array, ds: Array, num_classes: float
) -> Array:
    """Products (m, m) of the gradients of pairs of examples, but for Y Y^T."""
    crossed = xp.matmul(pull, xp.matrix_transpose(rest)) + ds[:, None] * asked[None, :]
    squares = xp.matmul(back, xp.matrix_transpose(pull)) + num_classes * ds[:, None] * ds
    return squares + crossed + xp.matrix_transpose(crossed)


def _inverse(xp: Any, h: Array, pull: Array, u_inv_t: Array, lr: float) -> Array:
    """What the step adds to the inverse of u, over lr: by the formula of Woodbury."""
    system = -lr * xp.matmul(h, xp.matrix_transpose(pull))
    one = _array.arange(xp, h.shape[0], h)
    system = system + xp.astype(one[:, None] == one[None, :], h.dtype)
    if _array.library(h) == "dask":  # solves whole matrices only
        system, h = system.rechunk(-1), h.rechunk(-1)
    solved = xp.linalg.solve(system, h)
    return xp.matmul(xp.matmul(u_inv_t, xp.matrix_transpose(pull)), solved)


def _push(xp: Any, h: Array, g: Gradients, projected: Array, added: Array) -> Array:
    """``h.T @ (2 dq projected + added)``."""
    return xp.sum((2.0 * g.dq * projected + added)[:, None] * h, axis=0)


def refreshed(xp: Any, layer: Layer) -> Layer:
    """The same weights with v = w and u = 1, and what depends on them computed anew."""
    w = xp.matmul(layer.v, layer.u) + layer.omega
    one = _array.arange(xp, w.shape[1], w)
    one = xp.astype(one[:, None] == one[None, :], w.dtype)
    gram = xp.matmul(xp.matrix_transpose(w), w)
    return Layer(w, one, one + 0.0, xp.zeros_like(layer.omega), gram, xp.sum(w, axis=0))


def with_rows(xp: Any, table: Array, index: Array, new: Array) -> Array:
    """A copy of `table` (C, D) with rows (..., D) at `index` (...); equal indices, equal rows."""
    flat, new = xp.reshape(index, (-1,)), xp.reshape(new, (-1, table.shape[1]))
    library = _array.library(table)
    if library == "jax":
        return table.at[flat].set(new)
    if library == "torch":
        return table.index_put((flat,), new)
    if library in ("numpy", "cupy"):
        table = xp.asarray(table, copy=True)
        table[flat] = new
        return table
    hit = _array.arange(xp, table.shape[0], flat, dtype=flat.dtype)[:, None] == flat
    first = xp.argmax(xp.astype(hit, flat.dtype), axis=-1)  # the standard has no scatter
    return xp.where(xp.any(hit, axis=-1)[:, None], rows(xp, new, first), table)
