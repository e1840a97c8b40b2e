"""Gumbel softmaxes and Sinkhorn: limits, straight-through gradients, marginals."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am
from anymax.primitives._selection import largest

RNG = np.random.default_rng(0)
X, G = RNG.normal(size=(6, 5)), RNG.gumbel(size=(6, 5))


def pulled(f, *arrays):
    y, pull = am.vjp(f, *arrays)
    return pull(np.arange(y.size, dtype=float).reshape(y.shape) / 8.0)


# -- Gumbel-softmax ----------------------------------------------------------------------------


def test_cold_is_one_hot_and_hot_is_uniform():
    cold = am.gumbel_softmax(X, G, temperature=1e-4)
    np.testing.assert_array_equal(cold, am.gumbel_softmax(X, G, hard=True))
    np.testing.assert_allclose(am.gumbel_softmax(X, G, temperature=1e6), 0.2, rtol=1e-4)


def test_hard_samples_follow_the_softmax():
    x = np.asarray([0.5, -1.0, 1.0])
    samples = am.gumbel_softmax(x, RNG.gumbel(size=(40000, 3)), hard=True)
    assert np.abs(samples.mean(axis=0) - am.softmax(x)).max() < 0.01
    first = am.gumbel_top_k(x, RNG.gumbel(size=(40000, 3)), k=1)[:, 0]
    assert np.abs(np.bincount(first) / 40000 - am.softmax(x)).max() < 0.01


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other():
    soft = pulled(lambda x, g: am.gumbel_softmax(x, g, temperature=0.5), X, G)
    hard = pulled(lambda x, g: am.gumbel_softmax(x, g, temperature=0.5, hard=True), X, G)
    for a, b in zip(soft, hard):
        np.testing.assert_array_equal(a, b)
    value = am.gumbel_softmax(X.astype(np.float32), G.astype(np.float32), hard=True)
    assert set(np.unique(value)) == {0.0, 1.0}


def test_straight_through_in_torch_and_jax():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    (wanted,) = pulled(lambda x: am.gumbel_softmax(x, G.astype(x.dtype)), X)
    weight = np.arange(30.0).reshape(6, 5) / 8.0
    x = torch.tensor(X, requires_grad=True)
    y = am.gumbel_softmax(x, torch.tensor(G), hard=True)
    (got,) = torch.autograd.grad((y * torch.tensor(weight)).sum(), x)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-12)
    loss = jax.jit(jax.grad(lambda x: (am.gumbel_softmax(x, G32, hard=True) * weight).sum()))
    G32 = jax.numpy.asarray(G, dtype=jax.numpy.float32)
    np.testing.assert_allclose(
        loss(jax.numpy.asarray(X, dtype=jax.numpy.float32)), wanted, rtol=1e-3, atol=1e-5
    )


def test_ties_go_to_the_first():
    zero = np.zeros((2, 4))
    keep = np.asarray([False, True, True, True])
    hard = am.gumbel_softmax(zero, zero, hard=True, where=keep)
    np.testing.assert_array_equal(hard, [[0, 1, 0, 0]] * 2)
    np.testing.assert_array_equal(am.gumbel_top_k(zero, zero, k=2, where=keep), [[1, 2]] * 2)


def test_draws_without_replacement_are_plackett_luce():
    x = np.log(np.asarray([0.5, 0.3, 0.2]))
    pairs = am.gumbel_top_k(x, RNG.gumbel(size=(60000, 3)), k=2)
    share = np.mean((pairs[:, 0] == 0) & (pairs[:, 1] == 1))
    assert abs(share - 0.5 * 0.3 / 0.5) < 0.01


# -- Gumbel-Rao --------------------------------------------------------------------------------


def test_noise_given_the_winner_lets_it_win():
    from anymax.softmaxes.stochastic._perturbed import conditional_noise

    index = RNG.integers(0, 5, size=6)
    hot = index[:, None] == np.arange(5)
    e = RNG.exponential(size=(50, 6, 5))
    z = X + conditional_noise(np, X, hot, e, 1)
    assert (np.argmax(z, axis=-1) == index).all()


def test_logits_of_hundreds_do_not_overflow():
    """The official code takes exp(logits) and gives NaN here, in float32 from 88 on."""
    x = np.asarray([[400.0, -400.0, 399.0]], np.float32)
    e = RNG.exponential(size=(8, 1, 3)).astype(np.float32)
    index = np.asarray([0])
    _, pull = am.vjp(lambda x: am.gumbel_rao(x, index, e), x)
    (grad,) = pull(np.asarray([[1.0, 2.0, 3.0]], np.float32))
    assert np.isfinite(grad).all()
    assert grad[0, 2] > 0


def test_gradient_is_the_mean_over_draws():
    e, index = RNG.exponential(size=(4, 6, 5)), np.argmax(X, axis=-1)
    (together,) = pulled(lambda x: am.gumbel_rao(x, index, e, temperature=0.7), X)
    one_by_one = [
        pulled(lambda x, d=d: am.gumbel_rao(x, index, d[None], temperature=0.7), X)[0] for d in e
    ]
    np.testing.assert_allclose(together, np.mean(one_by_one, axis=0), rtol=1e-12)


def test_a_draw_of_zero_is_survived():
    e = np.zeros((1, 1, 3))
    _, pull = am.vjp(lambda x: am.gumbel_rao(x, np.asarray([1]), e), np.zeros((1, 3)))
    assert np.isfinite(pull(np.ones((1, 3)))[0]).all()


def test_indices_are_checked():
    e = np.ones((1, 2, 3))
    with pytest.raises(IndexError, match="classes 0 to 2"):
        am.gumbel_rao(np.zeros((2, 3)), np.asarray([0, 3]), e)
    with pytest.raises(TypeError, match="integers fit"):
        am.gumbel_rao(np.zeros((2, 3)), np.asarray([0.0, 1.0]), e)
    with pytest.raises(ValueError, match="after n"):
        am.gumbel_rao(np.zeros((2, 3)), np.asarray([0, 1]), e[0])


# -- the Concrete density ----------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.75, 1.5])
def test_density_integrates_to_one(temperature):
    s = (np.arange(400) + 0.5) / 400
    a, b = np.meshgrid(s, s)
    a, b = a.ravel(), b.ravel() * (1 - a.ravel())  # the triangle, with its Jacobian
    y = np.stack([a, b, 1 - a - b], axis=-1)
    density = np.exp(
        am.concrete_log_density(y, np.asarray([0.3, -0.5, 0.1]), temperature=temperature)
    )
    assert abs(np.mean(density * (1 - a)) - 1) < 0.03


def test_density_of_logarithms_survives_low_temperatures():
    x, g = np.zeros(4), RNG.gumbel(size=4)
    log_y = am.log_softmax(x + g, temperature=0.002)
    assert np.isfinite(am.concrete_log_density(log_y, x, temperature=0.002, log_input=True))
    assert (np.exp(log_y) == 0).any()


# -- Sinkhorn ----------------------------------------------------------------------------------


def test_marginals_in_the_limit():
    a, b = RNG.dirichlet(np.ones(5)), RNG.dirichlet(np.ones(7))
    plan = am.sinkhorn(RNG.normal(size=(5, 7)), a=a, b=b, num_iters=500)
    np.testing.assert_allclose(plan.sum(axis=1), a, rtol=1e-13)
    np.testing.assert_allclose(plan.sum(axis=0), b, rtol=1e-10)
    flat = am.sinkhorn(RNG.normal(size=(5, 7)), a=a, b=b, temperature=1e8)
    np.testing.assert_allclose(flat, np.outer(a, b), rtol=1e-6)


def test_transposed_scores_give_the_transposed_plan():
    s = RNG.normal(size=(4, 4))
    plan = am.sinkhorn(s, num_iters=300)
    np.testing.assert_allclose(am.sinkhorn(s.T, num_iters=300), plan.T, rtol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), 1.0, rtol=1e-9)


def test_low_temperatures_do_not_underflow():
    """exp(scores / T) alone is 0 for whole rows here."""
    s = RNG.normal(size=(6, 6)) - 5.0
    plan = am.sinkhorn(s, temperature=1e-3, num_iters=5)
    assert np.isfinite(plan).all()
    np.testing.assert_allclose(plan.sum(axis=1), 1.0, rtol=1e-12)


def test_a_cold_plan_is_the_best_permutation():
    linear_sum_assignment = pytest.importorskip("scipy.optimize").linear_sum_assignment
    s, g = RNG.normal(size=(5, 5)), RNG.gumbel(size=(5, 5))
    plan = am.gumbel_sinkhorn(s, g, temperature=0.02, num_iters=4000)
    best = linear_sum_assignment(-(s + g))[1]
    np.testing.assert_array_equal(np.argmax(plan, axis=1), best)


def test_tolerance_stops_and_keeps_settled_problems():
    s = RNG.normal(size=(3, 4, 4))
    loose = am.sinkhorn(s, num_iters=1000, tol=1e-3)
    assert np.abs(loose.sum(axis=1) - 1).max() <= 1e-3
    exact = am.sinkhorn(s, num_iters=1000)
    assert np.abs(loose - exact).max() > 1e-9  # it did stop early
    alone = am.sinkhorn(s[:1], num_iters=1000, tol=1e-3)
    np.testing.assert_allclose(alone[0], loose[0], rtol=1e-12)  # whatever the others need


def test_forbidden_pairs_and_empty_rows_are_zero_with_zero_gradient():
    s = RNG.normal(size=(4, 4))
    s[1], s[0, 2] = -np.inf, -np.inf
    plan = am.sinkhorn(s, num_iters=30)
    assert (plan[1] == 0).all()
    assert plan[0, 2] == 0
    (grad,) = pulled(lambda x: am.sinkhorn(x, num_iters=5), s)
    assert np.isfinite(grad).all()
    assert (grad[1] == 0).all()
    assert grad[0, 2] == 0


# -- the selection under all of it -------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1, 3, 6, 9])
def test_selection_is_exact_and_prefers_low_indices(k):
    x = np.rint(RNG.normal(size=(200, 6)))
    keep = RNG.uniform(size=x.shape) < 0.8
    got = largest(np, x, keep, k, (1,))
    for row, live, mask in zip(x, keep, got):
        best = sorted(np.flatnonzero(live), key=lambda i: (-row[i], i))[:k]
        assert set(np.flatnonzero(mask)) == set(best)


def test_selection_over_two_axes_counts_in_their_order():
    x = np.zeros((2, 3, 2))
    got = largest(np, x, np.ones(x.shape, bool), 3, (0, 2))
    np.testing.assert_array_equal(got[:, 0], [[True, True], [True, False]])


@pytest.mark.parametrize("kind", ["plain", "ties", "masked", "short"])
def test_long_rows_are_drawn_as_if_sorted_whole(kind):
    rng = np.random.default_rng(5)
    x, g = rng.normal(size=(3, 400)), rng.gumbel(size=(3, 400))
    where = rng.uniform(size=x.shape) < 0.7 if kind == "masked" else None
    if kind == "ties":
        x, g = np.rint(2 * x), np.zeros_like(g)
    if kind == "short":
        x[1, 5:] = -np.inf
    z = np.where(True if where is None else where, x + g, -np.inf)
    wanted = np.argsort(-z, axis=-1, kind="stable")[:, :9]
    wanted = np.where(np.take_along_axis(z, wanted, -1) > -np.inf, wanted, -1)
    np.testing.assert_array_equal(am.gumbel_top_k(x, g, k=9, where=where), wanted)
    torch = pytest.importorskip("torch")
    mask = None if where is None else torch.from_numpy(where)
    drawn = am.gumbel_top_k(torch.from_numpy(x), torch.from_numpy(g), k=9, where=mask)
    np.testing.assert_array_equal(drawn.numpy(), wanted)
