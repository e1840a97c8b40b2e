"""Regularisers and parity penalties: identities, and places where official code goes wrong."""

import numpy as np
import pytest

import anymax as am
from anymax._conformance.niw import digamma_sum, log_gamma_sum
from anymax.losses.regularization._gamma import (
    digamma,
    log_multivariate_gamma,
    multivariate_digamma,
)
from anymax.testing import assert_close, logits

RNG = np.random.default_rng(4)
MEAN, M0 = RNG.normal(size=(3, 2)), RNG.normal(size=2)
VAR, V0 = RNG.uniform(0.5, 2.0, size=(3, 2)), RNG.uniform(0.5, 2.0, size=2)


def test_gamma_functions():
    assert_close(digamma(1.0), -0.57721566490153286061, rtol=2e-15)
    for a, d in ((0.3, 1), (2.25, 4), (40.0, 7), (3.0001, 6)):
        assert_close(multivariate_digamma(a, d), digamma_sum(a, d), rtol=1e-13)
        assert_close(log_multivariate_gamma(a, d), log_gamma_sum(a, d), rtol=1e-13)
    assert np.isfinite(multivariate_digamma(1e6, 10**6))  # in constant time


def test_local_posterior_minimises_loss_and_divergence():
    precision, n0 = RNG.uniform(0.5, 2.0, size=(3, 2)), 5.0

    def bound(m, v):
        quadratic = 0.5 * np.sum(precision * ((m - MEAN) ** 2 + v), axis=-1)
        return quadratic + am.expected_gaussian_niw_kl(m, v, M0, V0, l0=2.0, n0=n0)

    m, v = am.losses.niw_local_posterior(MEAN, precision, M0, V0, n0=n0)
    best = bound(m, v)
    for step in (1e-3, -1e-3):
        assert (bound(m + step, v) > best).all()
        assert (bound(m, v * (1 + step)) > best).all()


def test_expected_divergence_by_sampling():
    """One dimension: an inverse Wishart of one number is an inverse gamma."""
    rng, n = np.random.default_rng(0), 200_000
    sigma = 2.0 / rng.chisquare(4.0, size=n)
    mu = rng.normal(size=n) * np.sqrt(sigma / 3.0) + 0.5
    kl = 0.5 * ((1.5 + (1.0 - mu) ** 2) / sigma - 1.0 + np.log(sigma / 1.5))
    one = np.ones(1)
    exact = am.expected_gaussian_niw_kl(one, 1.5 * one, 0.5 * one, 2.0 * one, l0=3.0, n0=4.0)
    assert abs(np.mean(kl) - exact) < 4 * np.std(kl) / np.sqrt(n)


def test_parity_is_zero_for_an_empty_group():
    """The official code gives NaN."""
    pred, nobody = np.asarray([0.5, 1.0]), np.zeros(2, bool)
    assert am.losses.demographic_parity(pred, nobody) == 0
    penalty, g = am.value_and_grad(lambda n: am.node_parity_penalty(n, nobody))(pred[:, None])
    assert penalty == 0
    assert not g.any()


def test_parity_gradient_is_continuous_at_delta():
    """The official gradient jumps there from delta to 1."""
    group = np.asarray([True, False])
    for f in (0.0999, 0.1001, 0.5):
        _, g = am.value_and_grad(lambda n: am.node_parity_penalty(n, group, delta=0.1))(
            np.asarray([[f], [0.0]])
        )
        assert_close(g, [[min(f, 0.1)], [-min(f, 0.1)]], rtol=1e-12)


def test_orthonormal_factors_cost_nothing_and_have_no_gradient():
    u, _ = np.linalg.qr(logits(5, 3, seed=1))
    assert am.orthonormal_regularizer(u, u.T) < 1e-14
    loss, g = am.value_and_grad(lambda u: am.orthonormal_regularizer(u, np.eye(3, 4)))(np.eye(5, 3))
    assert loss == 0
    assert not g.any()
    scaled = am.orthonormal_regularizer(2 * u, u.T)
    assert_close(scaled, 3 * np.sqrt(3.0), rtol=1e-13)
    assert am.orthonormal_regularizer(np.eye(2, 3), np.eye(3)) == 1.0  # sqrt(3 - 2)


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (
            lambda: am.expected_gaussian_niw_kl(MEAN, VAR, M0, V0, l0=1.0, n0=1.0),
            ValueError,
            "above D - 1 = 1",
        ),
        (
            lambda: am.expected_gaussian_niw_kl(MEAN, VAR, M0, V0, l0=0.0, n0=4.0),
            ValueError,
            "l0 is 0.0",
        ),
        (
            lambda: am.niw_kl(M0, V0, M0, V0[:1], l0=1.0, n0=4.0, lambda0=1.0, nu0=4.0),
            ValueError,
            "must match",
        ),
        (lambda: am.losses.niw_local_posterior(MEAN, VAR, M0, V0, n0=None), TypeError, "n0"),
        (lambda: am.losses.demographic_parity(M0, M0), TypeError, "group has dtype float64"),
        (
            lambda: am.losses.demographic_parity(MEAN, np.ones(3, bool)),
            ValueError,
            r"\(B,\) and \(B,\) fit",
        ),
        (
            lambda: am.node_parity_penalty(MEAN, np.ones(3, bool), delta=0.0),
            ValueError,
            "delta is 0.0",
        ),
        (lambda: am.orthonormal_regularizer(MEAN, VAR), ValueError, "must match"),
        (lambda: am.ratio_loss(MEAN, MEAN > 0, compression=1.0), ValueError, "above 1"),
        (lambda: am.ratio_loss(MEAN, MEAN > 0, compression="x"), TypeError, "above 1"),
    ],
)
def test_errors_say_what_fits(call, kind, says):
    with pytest.raises(kind, match=says):
        call()
