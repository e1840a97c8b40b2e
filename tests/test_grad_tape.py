"""What the tape promises and refuses, and the derivatives that primitives bring along."""

from __future__ import annotations

import math

import array_api_compat as compat
import array_api_compat.numpy as cnp
import numpy as np
import pytest

from anymax import _grad
from anymax._grad import namespace_of, record, stop_gradient, value_and_grad, vjp

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(3, 5)), RNG.normal(size=(3, 5))


def sum_(x):
    return compat.array_namespace(x).sum(x)


# -- primitives' own derivatives


def cube_and_sum(x):
    data = _grad.value(x)
    return record((x, None), (data**3, np.sum(data)), cube_and_sum_pullback(data))


def cube_and_sum_pullback(data):
    def pullback(cotangents):
        cubes, total = cotangents
        grad = 0.0 if cubes is None else 3 * data**2 * cubes
        return (grad + np.zeros_like(data) + (0.0 if total is None else total), None)

    return pullback


def test_record_several_outputs():
    x = np.array([1.0, 2.0])
    _, grad = value_and_grad(lambda x: sum_(cube_and_sum(x * 2.0)[0]))(x)
    np.testing.assert_array_equal(grad, 2 * 3 * (2 * x) ** 2)
    _, grad = value_and_grad(lambda x: cube_and_sum(x)[1] * 5.0)(x)
    np.testing.assert_array_equal(grad, [5.0, 5.0])

    def both(x):
        cubes, total = cube_and_sum(x)
        return sum_(cubes * total)

    _, grad = value_and_grad(both)(x)
    np.testing.assert_array_equal(grad, 3 * x**2 * 3 + 9)


def test_record_of_constants_is_constant():
    cubes, _ = cube_and_sum(np.array([1.0, 2.0]))
    assert _grad.is_var(cubes)
    assert not _grad.needs_grad(cubes)


def test_record_checks_pullbacks():
    def wrong(grads):
        return lambda x: record((x,), (np.sum(_grad.value(x)),), lambda cotangents: grads)[0]

    with pytest.raises(ValueError, match=r"shape \(3,\) for an input of \(2,\)"):
        value_and_grad(wrong((np.ones(3),)))(np.ones(2))
    with pytest.raises(ValueError, match="2 gradients for 1 inputs"):
        value_and_grad(wrong((np.ones(2), None)))(np.ones(2))


def test_hooks():
    def f(x):
        xp = namespace_of(np.ones(2), x)
        assert xp is compat.array_namespace(x)
        assert xp.pi == math.pi
        assert xp.float64 is np.float64
        assert _grad.is_var(x)
        assert _grad.needs_grad(x)
        assert not _grad.needs_grad(x > 0)
        assert not _grad.needs_grad(stop_gradient(x))
        assert _grad.value(x) is plain
        return sum_(x * stop_gradient(x))

    plain = np.array([1.0, 2.0])
    assert namespace_of(plain) is cnp
    assert stop_gradient(plain) is plain
    assert _grad.value(plain) is plain
    _, grad = value_and_grad(f)(plain)
    np.testing.assert_array_equal(grad, plain)


# -- what the tape promises


def test_gradients_are_new_writable_arrays():
    x, y = np.ones(3), np.ones(3)
    _, grads = value_and_grad(lambda x, y: sum_(x + y), (0, 1))(x, y)
    cotangent = np.ones(3)
    out, pullback = vjp(lambda x: x, x)
    arrays = [x, y, *grads, cotangent, out, *pullback(cotangent), *pullback(cotangent)]
    for i, a in enumerate(arrays):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in arrays[:i])


def test_read_only_and_strided_inputs():
    x = np.arange(12.0).reshape(3, 4)[::-1, ::2]
    x.flags.writeable = False
    _, grad = value_and_grad(lambda x: sum_(x**2))(x)
    np.testing.assert_array_equal(grad, 2 * x)


def test_same_bits_every_time():
    f = value_and_grad(lambda x: sum_(x * np.tanh(W) / (1.0 + x**2) + x[..., ::-1] * x))
    first = f(X)[1].tobytes()
    assert all(f(X)[1].tobytes() == first for _ in range(5))


def test_numpy_scalars_are_arrays():
    value, grad = value_and_grad(lambda x: x * x)(np.float64(3.0))
    assert (float(value), float(grad)) == (9.0, 6.0)


def test_nesting_is_refused():
    inner = value_and_grad(lambda x: sum_(x**3))
    with pytest.raises(TypeError, match="first order only"):
        value_and_grad(lambda x: sum_(inner(x)[1]))(X)
    with pytest.raises(TypeError, match="first order only"):
        vjp(lambda x: inner(x)[1], X)


def test_an_inner_recording_may_not_use_an_outer_one():
    def outer(x):
        return value_and_grad(lambda y: sum_(x * y))(W)[0] * sum_(x)

    with pytest.raises(TypeError, match="nested"):
        value_and_grad(outer)(X)
    with pytest.raises(TypeError, match="nested"):
        value_and_grad(lambda x: value_and_grad(lambda y: sum_(x))(W)[0] * sum_(x))(X)
    # Independent recordings don't meet.
    _, grad = value_and_grad(lambda x: sum_(x * value_and_grad(lambda y: sum_(y * y))(W)[1]))(X)
    np.testing.assert_array_equal(grad, 2 * W)


REFUSED = {
    "unknown function": (lambda xp, x: xp.nan_to_num(x), "nan_to_num has no derivative"),
    "unknown argument": (lambda xp, x: xp.linspace(x[0, 0], 1.0, 5), "linspace has no derivative"),
    "keyword": (lambda xp, x: xp.exp(x, dtype=xp.float64), "exp with dtype"),
    "complex": (lambda xp, x: abs(x * 1j), "multiply with a result of dtype complex128"),
    "fft": (lambda xp, x: xp.abs(xp.fft.fft(x)), "fft.fft has no derivative"),
    "order of a norm": (lambda xp, x: xp.linalg.matrix_norm(x, ord=2), "matrix_norm with ord=2"),
    "list": (lambda xp, x: xp.asarray([x[0, 0], x[0, 1]]), "xp.stack"),
    "out": (lambda xp, x: xp.exp(x, out=np.empty((3, 5))), "out="),
    "float": (lambda xp, x: float(x[0, 0]), "drop the gradient"),
    "numpy": (lambda xp, x: np.asarray(x), "drop the gradient"),
    "numpy function": (lambda xp, x: np.concatenate([x, x]), "drop the gradient"),
    "ufunc": (lambda xp, x: np.exp(x), "__array_ufunc__"),
    "assignment": (lambda xp, x: x.__setitem__(0, 1.0), "xp.where"),
    "T": (lambda xp, x: x[0, :].T, "needs a matrix"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_on_the_tape(name):
    function, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=message):
        value_and_grad(lambda x: sum_(function(compat.array_namespace(x), x)))(X)


@pytest.mark.parametrize("op", ["+=", "-=", "*=", "/=", "**=", "@="])
def test_in_place_operators_are_refused(op):
    def f(x):
        scope = {"x": x, "w": W}
        exec(f"x {op} w", scope)
        return sum_(scope["x"])

    with pytest.raises(TypeError, match="in-place"):
        value_and_grad(f)(X)


def test_methods_of_numpy_are_refused():
    with pytest.raises(AttributeError, match="'mean'; use the functions of its namespace"):
        value_and_grad(lambda x: x.mean())(X)


def test_pullback_checks_cotangents():
    _, pullback = vjp(lambda x: x * 2.0, X)
    with pytest.raises(ValueError, match=r"\[\(3, 5\)\], got \[\(5,\)\]"):
        pullback(np.ones(5))


def test_constants_and_readings_pass_through():
    def f(x):
        xp = compat.array_namespace(x)
        top = xp.argmax(x, axis=-1, keepdims=True)
        picked = xp.take_along_axis(x, top, axis=-1)
        assert bool(xp.all(picked == xp.max(x, axis=-1, keepdims=True)))
        assert int(top[0, 0]) == int(np.argmax(X[0]))
        assert (len(x), x.size, x.ndim, x.device) == (3, 15, 2, "cpu")
        assert np.asarray(top).dtype == np.int64
        assert float(xp.sum(stop_gradient(x))) == pytest.approx(float(np.sum(X)))
        rows = [sum_(row) for row in x]
        kept = xp.where(xp.isfinite(x) & (x > 0), x, xp.floor(x))
        return sum_(picked) + rows[0] + sum_(kept) + sum_(x.to_device(x.device)) + sum_(W @ x.T)

    expected = 1.0 + (X > 0) + (np.arange(3) == 0)[:, None] + (X.max(-1, keepdims=True) == X)
    _, grad = value_and_grad(f)(X)
    np.testing.assert_allclose(grad, expected + W.sum(axis=0), rtol=1e-14)
