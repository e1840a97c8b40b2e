"""Where the rules of the tape need care: ties, zeros, infinities, broadcasting, any index."""

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

pytest.importorskip("torch")
from gradient_oracle import by_torch, normal, positive, scalar_of, spd

LIBRARIES = {"numpy": cnp, "strict": strict}
BINARY = (
    "add",
    "subtract",
    "multiply",
    "divide",
    "pow",
    "atan2",
    "logaddexp",
    "maximum",
    "minimum",
)


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


def test_filled_arrays_and_conjugates():
    def f(x):
        xp = compat.array_namespace(x)
        fill = xp.sum(x)
        same = xp.full_like(x, fill_value=fill) + xp.full((3,), fill) + xp.zeros_like(x)
        return xp.sum(xp.conj(same))

    _, grad = value_and_grad(f)(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(grad, [6.0, 6.0, 6.0])


SHAPES = st.sampled_from([(), (1,), (3,), (2, 1), (1, 3), (2, 3), (4, 1, 3), (4, 2, 1)])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(a=SHAPES, b=SHAPES, name=st.sampled_from(BINARY))
def test_broadcasting_is_undone(a, b, name):
    arrays = [positive(*a), positive(*b)]
    function = lambda xp, a, b: getattr(xp, name)(a, b)  # noqa: E731
    expected = by_torch(function, arrays)
    inputs = [np.asarray(x) for x in arrays]
    _, grads = value_and_grad(scalar_of(function), (0, 1))(*inputs)
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
