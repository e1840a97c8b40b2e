"""Mixtures of softmaxes: what a mixture can that one softmax cannot, and its epsilon."""

from __future__ import annotations

import numpy as np

import anymax as am

RNG = np.random.default_rng(0)


def test_log_probabilities_exceed_the_rank_of_their_logits():
    """The softmax bottleneck: width d bounds the rank by d + 1, a mixture breaks through."""
    contexts, words, width = 40, 30, 3
    w = RNG.normal(size=(words, width))
    h = RNG.normal(size=(contexts, 4, width))
    prior = RNG.normal(size=(contexts, 4))
    one = am.log_softmax(h[:, 0] @ w.T)
    mixed = am.log_mixture_of_softmaxes(h @ w.T, prior)
    assert np.linalg.matrix_rank(one, tol=1e-8) <= width + 1
    assert np.linalg.matrix_rank(mixed, tol=1e-8) > width + 1


def test_a_certain_prior_selects():
    x = RNG.normal(size=(3, 5))
    prior = np.asarray([-np.inf, 0.0, -np.inf])
    np.testing.assert_allclose(am.mixture_of_softmaxes(x, prior), am.softmax(x[1]), rtol=1e-14)


def test_gradient_is_in_responsibilities():
    x, prior, y = RNG.normal(size=(3, 5)), RNG.normal(size=3), 2
    _, pull = am.vjp(lambda x, prior: -am.log_mixture_of_softmaxes(x, prior)[y], x, prior)
    grad, grad_prior = pull(np.ones(()))
    p, share = am.softmax(x), am.softmax(prior)
    r = share * p[:, y] / np.sum(share * p[:, y])
    np.testing.assert_allclose(grad, r[:, None] * (p - np.eye(5)[y]), rtol=1e-12)
    np.testing.assert_allclose(grad_prior, share - r, rtol=1e-12)


def test_exact_logarithm_has_no_floor_and_stays_normalised():
    """The official log(p + 1e-8) stops at -18.4 and lets gradients vanish."""
    x = np.asarray([[0.0, -90.0], [0.0, -80.0]])
    prior = np.zeros(2)
    exact = am.log_mixture_of_softmaxes(x, prior)
    assert abs(exact[1] - (np.log(0.5) - 80.0)) < 1e-3
    assert am.log_mixture_of_softmaxes(x, prior, eps=1e-8)[1] > -18.5

    def push(eps):
        f = lambda x: am.log_mixture_of_softmaxes(x, prior, eps=eps)[1]  # noqa: E731
        return np.abs(am.vjp(f, x)[1](np.ones(()))[0]).max()

    assert push(0.0) > 0.9
    assert push(1e-8) < 1e-20
    many = am.log_mixture_of_softmaxes(RNG.normal(size=(2, 50)), prior)
    assert abs(np.exp(many).sum() - 1) < 1e-14
