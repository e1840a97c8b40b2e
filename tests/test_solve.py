"""Thresholds found by root finding: right values, and the derivatives of the implicit function."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymax._array import namespace
from anymax._grad import value_and_grad
from anymax._solve import bisect, newton, polish, root

X = np.random.default_rng(0).normal(size=(4, 6)) * 2
W = np.random.default_rng(1).normal(size=(4, 1))
ALPHAS = [1.2, 1.5, 2.0, 3.0]


def residual(alpha):
    """Values and slopes in t of sum_i [(alpha - 1) x_i - t]_+^(1 / (alpha - 1)) - 1."""
    power = 1.0 / (alpha - 1.0)

    def values_and_slopes(t, x):
        xp = namespace("residual", t=t, x=x)
        gap = (alpha - 1.0) * x - t
        inside = gap > 0
        safe = xp.where(inside, gap, xp.ones_like(gap))
        zero = xp.zeros_like(gap)
        p = xp.where(inside, safe**power, zero)
        slope = xp.where(inside, -power * safe ** (power - 1.0), zero)
        total = xp.sum(p, axis=-1, keepdims=True) - 1.0
        return total, xp.sum(slope, axis=-1, keepdims=True)

    return values_and_slopes


def bracket(alpha, x):
    xp = namespace("solve", x=x)
    top = (alpha - 1.0) * xp.max(x, axis=-1, keepdims=True)
    return top - 1.0, top - x.shape[-1] ** (1.0 - alpha)


def threshold(x, alpha, **options):
    return root(residual(alpha), *bracket(alpha, x), x, **options)


def closed_gradient(x, alpha):
    """Return d sum(W tau) / dx from the implicit function theorem, at the threshold."""
    gap = np.maximum((alpha - 1.0) * x - np.asarray(threshold(x, alpha)), 0.0)
    q = np.where(gap > 0, np.where(gap > 0, gap, 1.0) ** (1.0 / (alpha - 1.0) - 1.0), 0.0)
    return W * (alpha - 1.0) * q / q.sum(axis=-1, keepdims=True)


def loss(alpha, weights, **options):
    def function(x):
        return namespace("solve", x=x).sum(threshold(x, alpha, **options) * weights)

    return function


def sparsemax_threshold(x):
    ordered = -np.sort(-x, axis=-1)
    candidates = (np.cumsum(ordered, axis=-1) - 1.0) / np.arange(1, x.shape[-1] + 1)
    return candidates.max(axis=-1, keepdims=True)


def test_sparsemax_threshold_equals_the_sorted_one():
    np.testing.assert_allclose(threshold(X, 2.0), sparsemax_threshold(X), rtol=0, atol=1e-14)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_tape_gradient_is_the_implicit_one(alpha):
    for xp in (np, array_api_strict):
        _, grad = value_and_grad(loss(alpha, xp.asarray(W)))(xp.asarray(X))
        np.testing.assert_allclose(np.asarray(grad), closed_gradient(X, alpha), rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_torch_gradient_is_the_implicit_one(alpha):
    torch = pytest.importorskip("torch")
    _, grad = value_and_grad(loss(alpha, torch.from_numpy(W)))(torch.from_numpy(X))
    np.testing.assert_allclose(grad.numpy(), closed_gradient(X, alpha), rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [1.5, 2.0])
def test_jax_gradient_is_the_implicit_one(alpha):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        function = value_and_grad(loss(alpha, jax.numpy.asarray(W), steps=12))
        _, grad = jax.jit(function)(jax.numpy.asarray(X))
        np.testing.assert_allclose(np.asarray(grad), closed_gradient(X, alpha), rtol=0, atol=1e-12)


def test_sparsemax_gradient_is_the_mean_of_the_support():
    _, grad = value_and_grad(loss(2.0, W))(X)
    support = sparsemax_threshold(X) < X
    np.testing.assert_allclose(grad, W * support / support.sum(axis=-1, keepdims=True), atol=1e-15)


def test_a_solve_alone_has_no_gradient():
    # The reason for polish: the gradient of a bracket isn't that of the root in it.
    def unpolished(x):
        lower, upper = bracket(1.5, x)
        return _sum(bisect(lambda t: residual(1.5)(t, x)[0], lower, upper) * W)

    value, grad = value_and_grad(unpolished)(X)
    assert value == pytest.approx(float(np.sum(threshold(X, 1.5) * W)), abs=1e-14)
    assert np.abs(grad - closed_gradient(X, 1.5)).max() > 0.1


def _sum(x):
    return namespace("solve", x=x).sum(x)


def numeric_hessian(alpha):
    row, step, columns = X[:1], 1e-6, []
    for i in range(row.shape[-1]):
        move = step * np.eye(row.shape[-1])[i]
        ahead, behind = closed_gradient(row + move, alpha), closed_gradient(row - move, alpha)
        columns.append((ahead - behind)[0] / (2 * step))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_second_order(library, monkeypatch):
    pytest.importorskip(library)
    monkeypatch.setitem(globals(), "W", W[:1])
    expected = numeric_hessian(1.5)
    assert np.abs(expected).max() > 0.01
    found = (torch_hessian if library == "torch" else jax_hessian)(1.5)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def torch_hessian(alpha):
    import torch

    function = loss(alpha, torch.from_numpy(W[:1]), order=2)
    return torch.func.hessian(lambda x: function(x[None]))(torch.from_numpy(X[0])).numpy()


def jax_hessian(alpha):
    import jax

    with jax.enable_x64(True):
        function = loss(alpha, jax.numpy.asarray(W[:1]), steps=12, order=2)
        hessian = jax.jit(jax.hessian(lambda x: function(x[None])))
        return np.asarray(hessian(jax.numpy.asarray(X[0])))


def test_torch_compiles_without_a_break():
    torch = pytest.importorskip("torch")
    compiled = torch.compile(lambda x: threshold(x, 1.5), backend="eager", fullgraph=True)
    x = torch.from_numpy(X)
    np.testing.assert_allclose(compiled(x).numpy(), threshold(X, 1.5), atol=1e-14)


LOGITS = st.one_of(
    st.lists(st.floats(-3, 3), min_size=1, max_size=40),
    st.lists(st.sampled_from([0.0, 1.0, -20.0, 20.0, 20.0 + 1e-9]), min_size=1, max_size=60),
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(logits=LOGITS, alpha=st.sampled_from([1.2, 1.5, 2.0]))
def test_newton_converges(logits, alpha):
    x = np.array([logits]) - max(logits)
    value, slope = residual(alpha)(newton(lambda t: residual(alpha)(t, x), *bracket(alpha, x)), x)
    # One more Newton step would move the threshold by less than rounding of 1.
    assert abs(value / slope)[0, 0] < 1e-14


def test_newton_survives_a_function_it_would_run_away_on():
    # arctan: plain Newton steps diverge from |t| > 1.39.
    def backwards(t):
        return -np.arctan(t - 0.3), -1.0 / (1.0 + (t - 0.3) ** 2)

    t = newton(backwards, np.array([-1e3]), np.array([5e2]), steps=60)
    np.testing.assert_allclose(t, 0.3, atol=1e-15)


def test_bisect_halves_down_to_rounding():
    t = bisect(lambda t: 2.0 - t * t, np.array([0.0, 1.0]), np.array([2.0, 1.5]))
    np.testing.assert_allclose(t, np.sqrt(2.0), rtol=0, atol=5e-16)
    assert np.all(2.0 - t * t >= 0)
    coarse = bisect(lambda t: 2.0 - t * t, np.array([0.0]), np.array([2.0]), steps=3)
    np.testing.assert_array_equal(coarse, [1.25])


def test_empty_support_is_a_constant():
    # No slope, no root: the threshold stays finite and its gradient is 0, not NaN.
    def nothing(t, x):
        return t * 0.0 - 1.0 + 0.0 * x, t * 0.0

    def function(x):
        xp = namespace("solve", x=x)
        return xp.sum(root(nothing, xp.zeros_like(x), xp.ones_like(x), x))

    value, grad = value_and_grad(function)(np.array([1.0, 2.0]))
    assert np.isfinite(value)
    np.testing.assert_array_equal(grad, [0.0, 0.0])


def test_the_search_is_not_recorded():
    seen = []

    def watched(t, x):
        seen.append((t.node is None, x.node is None))
        return residual(2.0)(t, x)

    def function(x):
        return _sum(root(watched, *bracket(2.0, x), x, steps=5))

    value_and_grad(function)(X)
    assert seen == [(True, True)] * 5 + [(True, False)]


def test_polish_moves_a_root_by_rounding_only():
    t = threshold(X, 1.5)
    again = polish(lambda t: residual(1.5)(t, X), t)
    np.testing.assert_allclose(again, t, rtol=0, atol=4e-16)
