"""value_and_grad and vjp: one function for every library, nested arguments, refusals."""

from __future__ import annotations

import math
from typing import NamedTuple

import array_api_compat as compat
import array_api_compat.numpy as cnp
import array_api_strict as strict
import numpy as np
import pytest

from anymax import _grad
from anymax._grad import stop_gradient, value_and_grad, vjp

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(3, 5)), RNG.normal(size=(3, 5))


def sum_(x):
    return compat.array_namespace(x).sum(x)


def softmax(x, where=None):
    """Softmax in plain array API code, safe under any mask (value and gradient)."""
    xp = compat.array_namespace(x)
    keep = x != -xp.inf
    if where is not None:
        keep = keep & where
    zero, low = xp.zeros_like(x), xp.full_like(x, -xp.inf)
    top = xp.max(xp.where(keep, stop_gradient(x), low), axis=-1, keepdims=True)
    top = xp.where(top == -xp.inf, xp.zeros_like(top), top)
    z = xp.where(keep, xp.where(keep, x, zero) - top, zero)
    e = xp.where(keep, xp.exp(z), zero)
    s = xp.sum(e, axis=-1, keepdims=True)
    return e / xp.where(s == 0, xp.ones_like(s), s)


def softmax_gradient(x, where, w):
    p = np.asarray(softmax(x, where))
    return p * (w - np.sum(p * w, axis=-1, keepdims=True))


def attention(q, k, v):
    xp = compat.array_namespace(q, k, v)
    scores = q @ xp.matrix_transpose(k) / math.sqrt(q.shape[-1])
    causal = xp.tril(xp.ones(scores.shape[-2:], dtype=xp.bool))
    return softmax(scores, causal) @ v


@pytest.mark.parametrize("xp", [cnp, strict])
def test_masked_softmax(xp):
    mask = RNG.random((3, 5)) < 0.6
    mask[1] = False
    x = X.copy()
    x[0, np.argmin(mask[0])] = np.nan  # masked
    f = lambda x, m, w: sum_(softmax(x, m) * w)  # noqa: E731
    value, grad = value_and_grad(f)(xp.asarray(x), xp.asarray(mask), xp.asarray(W))
    expected = np.where(mask, softmax_gradient(np.where(mask, x, 0.0), mask, W), 0.0)
    assert np.isfinite(float(value))
    np.testing.assert_allclose(np.asarray(grad), expected, rtol=1e-14, atol=1e-15)
    assert np.all(np.asarray(grad)[~mask] == 0)


def test_strictest_flags():
    strict.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False)
    try:
        w = strict.asarray(W)
        f = lambda x: sum_(softmax(x) * strict_sort(x) * w)  # noqa: E731
        _, grad = value_and_grad(f)(strict.asarray(X))
    finally:
        strict.reset_array_api_strict_flags()
    _, expected = value_and_grad(lambda x: sum_(softmax(x) * strict_sort(x) * W))(X)
    np.testing.assert_allclose(np.asarray(grad), expected, rtol=1e-13)


def strict_sort(x):
    xp = compat.array_namespace(x)
    return xp.take_along_axis(x, xp.argsort(x, axis=-1), axis=-1)[:, ::-1][..., None, :][:, 0, :]


def test_attention_equals_torch():
    torch = pytest.importorskip("torch")
    arrays = [RNG.normal(size=(2, 4, 3)) for _ in range(3)]
    w = RNG.normal(size=(2, 4, 3))
    tensors = [torch.from_numpy(a).requires_grad_() for a in arrays]
    sdpa = torch.nn.functional.scaled_dot_product_attention
    (sdpa(*tensors, is_causal=True) * torch.from_numpy(w)).sum().backward()
    for xp in (cnp, strict):
        weights = xp.asarray(w)
        f = lambda *qkv: sum_(attention(*qkv) * weights)  # noqa: B023, E731
        _, grads = value_and_grad(f, (0, 1, 2))(*map(xp.asarray, arrays))
        for grad, tensor in zip(grads, tensors, strict=True):
            np.testing.assert_allclose(np.asarray(grad), tensor.grad.numpy(), rtol=0, atol=1e-14)


# -- one function for every library


def numpy_of(x):
    return x.detach().numpy() if hasattr(x, "detach") else np.asarray(x)


def library(name):
    if name == "torch":
        torch = pytest.importorskip("torch")
        return lambda a: torch.from_numpy(np.array(a))
    if name == "jax":
        return pytest.importorskip("jax").numpy.asarray
    if name == "dask":
        array = pytest.importorskip("dask.array")
        return lambda a: array.from_array(np.array(a), chunks=2)
    return {"numpy": np.array, "strict": strict.asarray}[name]


ALL = ["numpy", "strict", "torch", "jax", "dask"]


class Pair(NamedTuple):
    first: object
    second: object


@pytest.mark.parametrize("name", ALL)
def test_every_library(name):
    to = library(name)
    value, grad = value_and_grad(lambda x, w: sum_(softmax(x) * w))(to(X), to(W))
    assert type(grad) is type(to(X))
    assert value.shape == ()
    rtol = 1e-4 if name == "jax" else 1e-13  # JAX computes in float32
    np.testing.assert_allclose(numpy_of(grad), softmax_gradient(X, None, W), rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_nested_arguments_and_aux(name):
    to = library(name)
    params = {"a": to([1.0, 2.0]), "b": [to([3.0, 4.0]), Pair(to([5.0, 6.0]), None)]}

    def f(scale, params, power=1):
        product = params["a"] * params["b"][0] ** power
        return sum_(product * params["b"][1].first) * scale, {"product": product}

    (value, aux), (d_scale, d) = value_and_grad(f, (0, 1), has_aux=True)(to(2.0), params, power=2)
    assert float(value) == 2 * (9 * 5 + 32 * 6)
    np.testing.assert_allclose(numpy_of(aux["product"]), [9.0, 32.0])
    assert not _grad.is_var(aux["product"])
    assert float(d_scale) == 9 * 5 + 32 * 6
    assert set(d) == {"a", "b"}
    assert isinstance(d["b"][1], Pair)
    assert d["b"][1].second is None
    np.testing.assert_allclose(numpy_of(d["a"]), [90.0, 192.0])
    np.testing.assert_allclose(numpy_of(d["b"][0]), [60.0, 192.0])
    np.testing.assert_allclose(numpy_of(d["b"][1].first), [18.0, 64.0])


@pytest.mark.parametrize("name", ALL)
def test_vjp(name):
    to = library(name)

    def f(x, y):
        return {"product": x * y, "sum": sum_(x)}

    out, pullback = vjp(f, to([1.0, 2.0]), to([3.0, 4.0]))
    np.testing.assert_allclose(numpy_of(out["product"]), [3.0, 8.0])
    for factor in (1.0, 2.0):
        dx, dy = pullback({"product": to([factor, 1.0]), "sum": to(10.0)})
        np.testing.assert_allclose(numpy_of(dx), [3 * factor + 10, 14.0])
        np.testing.assert_allclose(numpy_of(dy), [factor, 2.0])


@pytest.mark.parametrize("name", ALL)
def test_unused_arguments_have_zero_gradients(name):
    to = library(name)
    _, (dx, dy) = value_and_grad(lambda x, y: sum_(x * 2.0), (0, -1))(to([1.0, 2.0]), to([3.0]))
    np.testing.assert_array_equal(numpy_of(dx), [2.0, 2.0])
    np.testing.assert_array_equal(numpy_of(dy), [0.0])


@pytest.mark.parametrize("name", ALL)
def test_constant_functions_have_zero_gradients(name):
    to = library(name)
    value, grad = value_and_grad(lambda x: sum_(to([7.0])))(to([1.0, 2.0]))
    assert float(value) == 7
    np.testing.assert_array_equal(numpy_of(grad), [0.0, 0.0])


@pytest.mark.parametrize("name", ALL)
def test_refusals_are_the_same_everywhere(name):
    to = library(name)
    x = to([[1.0, 2.0, 3.0]])
    with pytest.raises(
        TypeError, match=r"scalar output, got shape \(1, 3\); reduce it, e.g. with xp"
    ):
        value_and_grad(lambda x: x * 2.0)(x)
    with pytest.raises(TypeError, match="scalar output, got float"):
        value_and_grad(lambda x: 1.0)(x)
    with pytest.raises(TypeError, match=r"got dtype .*int"):
        value_and_grad(lambda x: sum_(x))(to(np.array([1, 2])))
    with pytest.raises(TypeError, match="floating output, got dtype"):
        value_and_grad(lambda x: sum_(x) > 0)(x)
    with pytest.raises(TypeError, match="argnums"):
        value_and_grad(sum_, 1)(x)
    with pytest.raises(TypeError, match="twice"):
        value_and_grad(sum_, (0, -1))(x)
    with pytest.raises(TypeError, match="pair"):
        value_and_grad(sum_, has_aux=True)(x)


def test_other_arguments_are_refused():
    with pytest.raises(TypeError, match=r"floating arrays, got float 1\.5"):
        value_and_grad(lambda x: x)(1.5)
    with pytest.raises(TypeError, match="no array"):
        value_and_grad(lambda x: x)([])
    with pytest.raises(TypeError, match="complex"):
        value_and_grad(sum_)(np.array([1j]))


# -- torch and JAX


def test_torch_leaves_arguments_alone_and_returns_plain_tensors():
    torch = pytest.importorskip("torch")
    x = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        (value, aux), grad = value_and_grad(lambda x: ((x**2).sum(), x * 2), has_aux=True)(x)
    assert not any(t.requires_grad for t in (value, aux, grad))
    assert x.grad is None
    assert torch.equal(grad, 2 * torch.ones(3))


def test_torch_nests():
    torch = pytest.importorskip("torch")
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    inner = value_and_grad(lambda x, y: (x**3 * y).sum())
    _, (dx, dy) = value_and_grad(lambda x, y: (inner(x, y)[1] * x).sum(), (0, 1))(x, x + 1)
    assert torch.equal(dx, 9 * x**2 * (x + 1))
    assert torch.equal(dy, 3 * x**3)


def test_torch_transformations():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    cubes = value_and_grad(lambda x: ((x**3).sum(), {"square": x**2, "n": 3}), has_aux=True)
    (_, aux), grad = torch.func.vmap(cubes, out_dims=((0, {"square": 0, "n": None}), 0))(x)
    assert aux["n"] == 3
    assert torch.equal(aux["square"], x**2)
    assert torch.equal(grad, 3 * x**2)
    assert torch.equal(torch.func.grad(lambda x: cubes(x)[1].sum())(x), 6 * x)
    assert torch.equal(torch.func.vmap(lambda x: vjp(lambda x: x**2, x)[1](x)[0])(x), 2 * x**2)


def test_jax_nests_and_jits():
    jax = pytest.importorskip("jax")
    inner = value_and_grad(lambda x: (x**3).sum())
    second = jax.jit(value_and_grad(lambda x: inner(x)[1].sum()))
    _, grad = second(jax.numpy.asarray([1.0, 2.0]))
    np.testing.assert_allclose(np.asarray(grad), [6.0, 12.0], rtol=1e-6)
