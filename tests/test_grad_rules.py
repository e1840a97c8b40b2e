"""Each rule of the tape against torch's autograd, on NumPy and array-api-strict."""

from __future__ import annotations

import array_api_compat.numpy as cnp
import array_api_strict as strict
import numpy as np
import pytest

from anymax._grad import value_and_grad

pytest.importorskip("torch")
from gradient_oracle import RNG, by_torch, normal, positive, scalar_of, spd, unit

LIBRARIES = {"numpy": cnp, "strict": strict}


# name: (function of (xp, *arrays), arrays); every array is differentiated
UNARY = {
    name: (lambda xp, x, _n=name: getattr(xp, _n)(x), make(3, 4))
    for make, names in {
        normal: "positive negative square exp expm1 sin cos atan sinh cosh tanh asinh abs "
        "sign floor ceil round trunc zeros_like ones_like",
        positive: "log log1p log2 log10 sqrt reciprocal tan",
        unit: "asin acos atanh",
        lambda *s: 1.1 + positive(*s): "acosh",
    }.items()
    for name in names.split()
}
BINARY = {
    name: (lambda xp, a, b, _n=name: getattr(xp, _n)(a, b), a, b)
    for name, (a, b) in {
        **{
            n: (normal(3, 1, 4), normal(2, 4))
            for n in [
                "add",
                "subtract",
                "multiply",
                "divide",
                "atan2",
                "copysign",
                "logaddexp",
                "maximum",
                "minimum",
                "hypot",
            ]
        },
        "pow": (positive(3, 1, 4), normal(2, 4)),
        "remainder": (normal(3, 4) * 5, positive(4)),
    }.items()
}
BOOLS = RNG.random((3, 4)) < 0.5
ZEROS = normal(3, 5)
ZEROS[0, 2] = ZEROS[1, 1] = ZEROS[1, 3] = 0.0


def index(xp, values):
    return xp.asarray(np.asarray(values).tolist())


CASES = {
    **UNARY,
    **BINARY,
    "operators": (
        lambda xp, a, b: -(a + b) * a / (b * b + 2.0) - abs(a) + (+b),
        normal(3, 4),
        normal(4),
    ),
    "reflected operators": (
        lambda xp, a: (2.0 - a) * 3.0 + 1.0 / (1.0 + a * a) + (1.0 + a),
        normal(4),
    ),
    "powers": (lambda xp, a: a**2 + a**3 + a**0 + a**1 + a**-1, normal(4)),
    "float powers": (lambda xp, a: a**0.5 + a**-1.5 + 2.0**a, positive(4)),
    "pow at zero": (lambda xp, a, b: xp.pow(a, b), np.zeros(3), np.array([1.0, 2.0, 3.0])),
    "mod": (lambda xp, a: a % 0.7, normal(5)),
    "matmul operator": (lambda xp, a, b: a @ b, normal(3, 4), normal(4, 2)),
    "where": (lambda xp, a, b: xp.where(index(xp, BOOLS), a, b), normal(3, 4), normal(4)),
    "where of a comparison": (lambda xp, a, b: xp.where(a > b, a * b, b), normal(3, 4), normal(4)),
    "clip": (lambda xp, x: xp.clip(x, -0.5, 0.5), normal(4, 5)),
    "clip low": (lambda xp, x: xp.clip(x, -0.5), normal(4, 5)),
    "clip high": (lambda xp, x: xp.clip(x, max=0.5), normal(4, 5)),
    "astype": (lambda xp, x: xp.astype(xp.astype(x, xp.float32), xp.float64) * x, normal(4)),
    "sum": (lambda xp, x: xp.sum(x), normal(3, 4)),
    "sum axis": (lambda xp, x: xp.sum(x, axis=1), normal(3, 4, 2)),
    "sum axes": (lambda xp, x: xp.sum(x, axis=(0, -1)), normal(3, 4, 2)),
    "sum keepdims": (lambda xp, x: xp.sum(x, axis=-1, keepdims=True) * x, normal(3, 4)),
    "mean": (lambda xp, x: xp.mean(x, axis=(0, 2)), normal(3, 4, 2)),
    "max": (lambda xp, x: xp.max(x, axis=-1), normal(3, 4)),
    "max all": (lambda xp, x: xp.max(x), normal(3, 4)),
    "min": (lambda xp, x: xp.min(x, axis=0, keepdims=True), normal(3, 4)),
    "prod": (lambda xp, x: xp.prod(x, axis=-1), ZEROS),
    "prod axes": (lambda xp, x: xp.prod(xp.prod(x, axis=2), axis=0), normal(3, 4, 2)),
    "prod all": (lambda xp, x: xp.prod(x), normal(3, 2)),
    "var": (lambda xp, x: xp.var(x, axis=1, correction=1), normal(3, 4)),
    "std": (lambda xp, x: xp.std(x, axis=1), normal(3, 4)),
    "cumulative_sum": (lambda xp, x: xp.cumulative_sum(x, axis=0), normal(3, 4)),
    "cumulative_prod": (lambda xp, x: xp.cumulative_prod(x, axis=1), ZEROS),
    "matmul batched": (lambda xp, a, b: xp.matmul(a, b), normal(5, 1, 3, 4), normal(2, 4, 2)),
    "matmul vector left": (lambda xp, a, b: xp.matmul(a, b), normal(4), normal(2, 4, 3)),
    "matmul vector right": (lambda xp, a, b: xp.matmul(a, b), normal(2, 3, 4), normal(4)),
    "matmul vectors": (lambda xp, a, b: xp.matmul(a, b), normal(4), normal(4)),
    "vecdot": (lambda xp, a, b: xp.vecdot(a, b), normal(3, 4), normal(3, 4)),
    "tensordot": (lambda xp, a, b: xp.tensordot(a, b, axes=2), normal(2, 3, 4), normal(3, 4, 5)),
    "tensordot axes": (
        lambda xp, a, b: xp.tensordot(a, b, axes=((2, 0), (0, 1))),
        normal(2, 3, 4),
        normal(4, 2, 5),
    ),
    "tensordot outer": (lambda xp, a, b: xp.tensordot(a, b, axes=0), normal(2, 3), normal(4)),
    "matrix_transpose": (lambda xp, x: xp.matrix_transpose(x), normal(2, 3, 4)),
    "mT": (lambda xp, x: x.mT, normal(2, 3, 4)),
    "T": (lambda xp, x: x.T, normal(3, 4)),
    "linalg products": (
        lambda xp, a, b: (
            xp.linalg.matmul(a, xp.linalg.matrix_transpose(b))
            + xp.linalg.tensordot(a, b, axes=((1,), (1,)))
            + xp.linalg.vecdot(a, b)
        ),
        normal(3, 4),
        normal(3, 4),
    ),
    "trace offset": (lambda xp, x: xp.linalg.trace(x, offset=1), normal(2, 3, 3)),
    "diagonal offset": (lambda xp, x: xp.linalg.diagonal(x, offset=-1), normal(2, 3, 4)),
    "vector_norm -inf": (
        lambda xp, x: xp.linalg.vector_norm(x, axis=0, ord=-float("inf")),
        normal(3, 4),
    ),
    "vector_norm 0": (lambda xp, x: xp.linalg.vector_norm(x, axis=0, ord=0) * x, normal(3, 4)),
    "keepdims norms": (
        lambda xp, x: xp.linalg.vector_norm(x, axis=(0, 1), keepdims=True) * x,
        normal(3, 4),
    ),
    "std keepdims": (
        lambda xp, x: x / xp.std(x, axis=-1, correction=1, keepdims=True),
        normal(3, 4),
    ),
    "outer": (lambda xp, a, b: xp.linalg.outer(a, b), normal(3), normal(4)),
    "trace": (lambda xp, x: xp.linalg.trace(x), normal(2, 3, 3)),
    "diagonal": (lambda xp, x: xp.linalg.diagonal(x), normal(2, 3, 4)),
    "vector_norm": (lambda xp, x: xp.linalg.vector_norm(x, axis=-1), normal(3, 4)),
    "vector_norm 1": (lambda xp, x: xp.linalg.vector_norm(x, axis=0, ord=1), normal(3, 4)),
    "vector_norm 3": (lambda xp, x: xp.linalg.vector_norm(x, axis=-1, ord=3), normal(3, 4)),
    "vector_norm inf": (
        lambda xp, x: xp.linalg.vector_norm(x, axis=-1, ord=float("inf")),
        normal(3, 4),
    ),
    "matrix_norm": (lambda xp, x: xp.linalg.matrix_norm(x), normal(2, 3, 4)),
    "solve": (lambda xp, a, b: xp.linalg.solve(a, b), spd(3), normal(2, 3, 2)),
    "solve vector": (lambda xp, a, b: xp.linalg.solve(a, b), spd(3)[0], normal(3)),
    "inv": (lambda xp, a: xp.linalg.inv(a), spd(3)),
    "det": (lambda xp, a: xp.linalg.det(a), spd(3)),
    "slogdet": (lambda xp, a: xp.linalg.slogdet(a)[1], spd(3)),
    "cholesky": (lambda xp, a: xp.linalg.cholesky(a), spd(3)),
    "cross": (lambda xp, a, b: xp.linalg.cross(a, b), normal(4, 3), normal(4, 3)),
    "reshape": (lambda xp, x: xp.reshape(x, (2, -1)), normal(3, 4)),
    "expand_dims": (lambda xp, x: xp.expand_dims(x, axis=1), normal(3, 4)),
    "squeeze": (lambda xp, x: xp.squeeze(x, axis=1), normal(3, 1, 4)),
    "permute_dims": (lambda xp, x: xp.permute_dims(x, (2, 0, 1)), normal(2, 3, 4)),
    "moveaxis": (lambda xp, x: xp.moveaxis(x, 0, -1), normal(2, 3, 4)),
    "flip": (lambda xp, x: xp.flip(x, axis=1), normal(2, 3, 4)),
    "flip all": (lambda xp, x: xp.flip(x), normal(2, 3)),
    "roll": (lambda xp, x: xp.roll(x, 2, axis=-1), normal(3, 5)),
    "roll axes": (lambda xp, x: xp.roll(x, (1, -2), axis=(0, 1)), normal(3, 5)),
    "broadcast_to": (lambda xp, x: xp.broadcast_to(x, (2, 3, 4)), normal(3, 1)),
    "broadcast_arrays": (
        lambda xp, a, b: xp.stack(list(xp.broadcast_arrays(a, b))),
        normal(3, 1),
        normal(4),
    ),
    "meshgrid": (lambda xp, a, b: xp.stack(list(xp.meshgrid(a, b))), normal(3), normal(4)),
    "meshgrid ij": (
        lambda xp, a, b: xp.stack(list(xp.meshgrid(a, b, indexing="ij"))),
        normal(3),
        normal(4),
    ),
    "concat": (lambda xp, a, b: xp.concat([a, b, a], axis=1), normal(2, 3), normal(2, 1)),
    "concat flat": (lambda xp, a, b: xp.concat((a, b), axis=None), normal(2, 3), normal(2)),
    "stack": (lambda xp, a, b: xp.stack([a, b], axis=-1), normal(2, 3), normal(2, 3)),
    "unstack": (lambda xp, x: xp.unstack(x, axis=1)[0] * xp.unstack(x, axis=1)[2], normal(2, 3)),
    "tile": (lambda xp, x: xp.tile(x, (2, 1, 3)), normal(2, 3)),
    "repeat": (lambda xp, x: xp.repeat(x, 3, axis=0), normal(2, 3)),
    "repeat flat": (lambda xp, x: xp.repeat(x, 2), normal(2, 3)),
    "repeat array": (lambda xp, x: xp.repeat(x, index(xp, [2, 0, 3]), axis=1), normal(2, 3)),
    "diff": (lambda xp, x: xp.diff(x, axis=0), normal(4, 2)),
    "tril": (lambda xp, x: xp.tril(x, k=-1), normal(2, 3, 4)),
    "triu": (lambda xp, x: xp.triu(x, k=1), normal(2, 3, 4)),
    "sort": (lambda xp, x: xp.sort(x, axis=-1), normal(3, 5)),
    "sort descending": (lambda xp, x: xp.sort(x, axis=0, descending=True), normal(4, 2)),
    "take": (lambda xp, x: xp.take(x, index(xp, [2, 0, 2]), axis=1), normal(2, 3, 2)),
    "take_along_axis": (
        lambda xp, x: xp.take_along_axis(x, index(xp, [[2, 0, 2, 2], [1, 1, 0, 2]]), axis=1),
        normal(2, 3),
    ),
    "take by argsort": (
        lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=-1), axis=-1),
        normal(2, 4),
    ),
    "slices": (lambda xp, x: x[1:, ::2, 1] * x[:-1, ::2, 0], normal(3, 4, 2)),
    "slice and flip": (lambda xp, x: xp.flip(x[:, 1:3], axis=1), normal(2, 4)),
    "newaxis and ellipsis": (lambda xp, x: x[None, ..., -1], normal(2, 3, 4)),
    "one element": (lambda xp, x: x[0, 1] * x[1, 0], normal(2, 3)),
    "index arrays": (lambda xp, x: x[index(xp, [0, 2, 0]), index(xp, [1, 1, 1])], normal(3, 4)),
    "boolean index": (lambda xp, x: x[index(xp, BOOLS)], normal(3, 4)),
    "0-d": (lambda xp, x: xp.exp(x) * x, normal()),
    "mixed widths": (lambda xp, x: xp.sum(xp.astype(x, xp.float32) * x), normal(3)),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", CASES)
def test_rule_equals_torch(name, library):
    function, *arrays = CASES[name]
    inputs = [LIBRARIES[library].asarray(np.array(a)) for a in arrays]
    plain = scalar_of(function)(*inputs)
    value, grads = value_and_grad(scalar_of(function), tuple(range(len(inputs))))(*inputs)
    assert float(value) == float(plain)
    for grad, x, expected in zip(grads, inputs, by_torch(function, arrays), strict=True):
        assert type(grad) is type(x)
        assert grad.dtype == x.dtype
        assert grad.shape == x.shape
        np.testing.assert_allclose(np.asarray(grad), expected, rtol=1e-12, atol=1e-12)
