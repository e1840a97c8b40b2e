"""Each rule of the tape against torch's autograd, on NumPy and array-api-strict."""

from __future__ import annotations

import math

import array_api_compat as compat
import array_api_compat.numpy as cnp
import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymax._grad import value_and_grad

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
LIBRARIES = {"numpy": cnp, "strict": strict}


def normal(*shape):
    return RNG.normal(size=shape)


def positive(*shape):
    return RNG.uniform(0.3, 2.0, size=shape)


def unit(*shape):
    return RNG.uniform(-0.9, 0.9, size=shape)


def spd(n):
    a = normal(2, n, n)
    return a @ np.swapaxes(a, -1, -2) + n * np.eye(n)


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


def scalar_of(function):
    """Make a scalar out of `function`: a fixed weight on each element of its result."""

    def scalar(*arrays):
        xp = compat.array_namespace(*arrays)
        out = function(xp, *arrays)
        cosines = [math.cos(i + 1) for i in range(math.prod(out.shape))]
        weights = xp.asarray(cosines, dtype=out.dtype)
        return xp.sum(out * xp.reshape(weights, tuple(out.shape)))

    return scalar


def by_torch(function, arrays):
    tensors = [torch.from_numpy(np.array(a)).requires_grad_() for a in arrays]
    out = scalar_of(function)(*tensors)
    if not out.requires_grad:
        return [np.zeros(np.shape(a)) for a in arrays]
    grads = torch.autograd.grad(out, tensors, allow_unused=True, materialize_grads=True)
    return [g.numpy() for g in grads]


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


# Ties, and points where torch has no finite slope: (function, input, gradient worked out by hand).
CORNERS = {
    "max shares ties": (lambda xp, x: xp.max(x), [1.0, 2.0, 2.0], [0.0, 0.5, 0.5]),
    "min shares ties": (lambda xp, x: xp.min(x), [1.0, 1.0, 2.0], [0.5, 0.5, 0.0]),
    "maximum shares ties": (lambda xp, x: xp.maximum(x, 1.0 + 0.0 * x), [1.0, 2.0], [0.5, 1.0]),
    "std of equal values": (lambda xp, x: xp.std(x), [2.0, 2.0], [0.0, 0.0]),
    "norm of zeros": (lambda xp, x: xp.linalg.vector_norm(x), [0.0, 0.0], [0.0, 0.0]),
    "hypot of zeros": (lambda xp, x: xp.hypot(x, x), [0.0], [0.0]),
    "logaddexp of -inf": (lambda xp, x: xp.logaddexp(x, x), [-math.inf], [0.0]),
    "logaddexp beside -inf": (lambda xp, x: xp.logaddexp(x, x - math.inf), [1.0], [1.0]),
    "logaddexp of +inf": (lambda xp, x: xp.logaddexp(x, xp.zeros_like(x)), [math.inf], [1.0]),
    "clip at its bounds": (lambda xp, x: xp.clip(x, 0.0, 1.0), [0.0, 1.0, 2.0], [1.0, 1.0, 0.0]),
    "zero to the zero": (lambda xp, x: x**0.0, [0.0], [0.0]),
    "floor_divide": (lambda xp, x: x // 0.7 + 2.0 // x, [1.0, 2.0], [0.0, 0.0]),
    "prod with a zero": (lambda xp, x: xp.prod(x), [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    "prod of nothing": (lambda xp, x: xp.prod(x), [], []),
    "initial sums": (
        lambda xp, x: xp.cumulative_sum(x, include_initial=True),
        [1.0, 2.0],
        [2.0, 1.0],
    ),
    "initial products": (
        lambda xp, x: xp.cumulative_prod(x, include_initial=True),
        [2.0, 3.0],
        [4.0, 2.0],
    ),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", CORNERS)
def test_corner(name, library):
    function, x, expected = CORNERS[name]
    xp = LIBRARIES[library]
    given = xp.asarray(x, dtype=xp.float64)
    _, grad = value_and_grad(lambda v: _sum(function(compat.array_namespace(v), v)))(given)
    np.testing.assert_array_equal(np.asarray(grad), expected)


def _sum(out):
    return compat.array_namespace(out).sum(out)


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky_of_a_symmetric_matrix(upper):
    # Only symmetric changes mean something, so the slope along one is compared.
    a, step = spd(3)[0], normal(3, 3)
    step = step + step.T

    def f(m):
        return _sum(compat.array_namespace(m).linalg.cholesky(m, upper=upper) ** 2 * weights)

    weights = normal(3, 3)
    _, grad = value_and_grad(f)(a)
    slope = (f(a + 1e-6 * step) - f(a - 1e-6 * step)) / 2e-6
    assert np.sum(grad * step) == pytest.approx(slope, rel=1e-7)


def test_clip_between_differentiated_bounds():
    x, low, high = np.array([-2.0, 0.0, 2.0]), np.array(-1.0), np.array([1.0, 1.0, 1.0])
    f = scalar_of(lambda xp, x, low, high: xp.clip(x, low, max=high))
    _, grads = value_and_grad(f, (0, 1, 2))(x, low, high)
    c1, c2, c3 = (math.cos(i) for i in (1, 2, 3))
    np.testing.assert_array_equal(grads[0], [0, c2, 0])
    np.testing.assert_array_equal(grads[1], c1)
    np.testing.assert_array_equal(grads[2], [0, 0, c3])


def test_float32_stays_float32():
    x = np.ones((2, 3), dtype=np.float32)
    value, grad = value_and_grad(lambda x: _sum(x * 2.0 + x**2 / 3.0))(x)
    assert value.dtype == grad.dtype == np.float32


SHAPES = st.sampled_from([(), (1,), (3,), (2, 1), (1, 3), (2, 3), (4, 1, 3), (4, 2, 1)])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(a=SHAPES, b=SHAPES, name=st.sampled_from(sorted(BINARY)))
def test_broadcasting_is_undone(a, b, name):
    arrays = [positive(*a), positive(*b)]
    expected = by_torch(BINARY[name][0], arrays)
    inputs = [np.asarray(x) for x in arrays]
    _, grads = value_and_grad(scalar_of(BINARY[name][0]), (0, 1))(*inputs)
    for grad, wanted in zip(grads, expected, strict=True):
        np.testing.assert_allclose(grad, wanted, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(x=st.lists(st.sampled_from([0.0, -1.5, 0.5, 2.0]), min_size=1, max_size=9))
def test_products_with_zeros_equal_torch(x):
    given = np.array(x)
    for name in ("prod", "cumulative_prod"):
        function = lambda xp, v, _n=name: getattr(xp, _n)(v, axis=0)  # noqa: E731
        _, grad = value_and_grad(scalar_of(function))(given)
        np.testing.assert_allclose(grad, by_torch(function, [given])[0], rtol=1e-12, atol=1e-14)


INDICES = st.one_of(
    st.integers(-3, 2),
    st.slices(3),
    st.just(...),
    st.none(),
    st.tuples(st.integers(-3, 2), st.slices(4)),
    st.tuples(st.just(...), st.integers(-4, 3)),
    st.lists(st.integers(-3, 2), min_size=1, max_size=5).map(np.array),
    st.lists(st.booleans(), min_size=3, max_size=3).map(np.array),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(index=INDICES)
def test_any_index_sends_cotangents_back(index):
    x = normal(3, 4)
    picked = x[index]
    weights = normal(*picked.shape)
    _, grad = value_and_grad(lambda v: _sum(v[index] * weights))(x)
    expected = np.zeros_like(x)
    np.add.at(expected, index, weights)
    np.testing.assert_allclose(grad, expected, rtol=1e-14, atol=1e-14)
