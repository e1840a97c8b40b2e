"""Fourier bins and similarity-distance-magnitude activations, and their epsilons inside logs."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am
from anymax.softmaxes import (
    distance_quantile,
    fourier_cdf,
    fourier_coefficients,
    fourier_pdf,
    fourier_smoothness,
)

RNG = np.random.default_rng(0)
T = RNG.normal(size=(3, 10))


# -- Fourier head ------------------------------------------------------------------------------


def test_density_integrates_to_one_and_is_never_negative():
    z = (np.arange(4000) + 0.5) / 2000 - 1
    p = fourier_pdf(T, z)
    np.testing.assert_allclose(np.mean(p, axis=-1) * 2, 1.0, rtol=1e-12)
    assert (p >= 0).all()
    roots = fourier_pdf(np.asarray([1.0, 1.0, 0.0, 0.0]), np.asarray([-1.0, 1.0]))
    assert (roots >= 0).all()
    assert roots.max() < 1e-30


def test_density_is_the_series_of_its_coefficients():
    z = np.linspace(-1, 1, 9)
    c = fourier_coefficients(T)
    waves = np.exp(1j * np.pi * np.arange(1, 5)[:, None] * z)
    series = 0.5 + np.real((c[:, 1:] / c[:, :1]) @ waves)
    np.testing.assert_allclose(fourier_pdf(T, z), series, rtol=1e-12, atol=1e-13)


def test_density_is_the_derivative_of_the_distribution_function():
    z = np.linspace(-0.9, 0.9, 7)
    _, pull = am.vjp(lambda z: fourier_cdf(T[:1], z), z)
    (grad,) = pull(np.ones((1, 7)))
    np.testing.assert_allclose(grad, fourier_pdf(T[:1], z)[0], rtol=1e-11)


def test_rotating_phases_moves_the_density():
    turned = (T[:, :5] + 1j * T[:, 5:]) * np.exp(1j * np.pi * np.arange(5) * 0.25)
    moved = np.concatenate([turned.real, turned.imag], axis=-1)
    z = np.linspace(-0.5, 0.5, 5)
    np.testing.assert_allclose(fourier_pdf(moved, z), fourier_pdf(T, z + 0.25), rtol=1e-11)


def test_few_frequencies_have_a_constant_normaliser():
    centres = (2 * np.arange(8) + 1) / 8 - 1
    p = am.fourier_softmax(T, num_bins=8)
    np.testing.assert_allclose(p, fourier_pdf(T, centres) / 4.0, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_scale_overflows_nothing(scale):
    theta = (T * scale).astype(np.float32)
    p = am.fourier_softmax(theta, num_bins=7)
    np.testing.assert_allclose(p, am.fourier_softmax(T, num_bins=7), rtol=1e-4)


def test_no_parameters_are_uniform_with_zero_gradient():
    zero = np.zeros(6)
    y, pull = am.vjp(lambda t: am.fourier_softmax(t, num_bins=4), zero)
    assert (y == 0.25).all()
    assert (pull(np.arange(4.0))[0] == 0).all()
    assert (am.log_fourier_softmax(zero, num_bins=4) == -np.log(4.0)).all()


def test_exact_logarithm_has_no_floor():
    """log(p + 1e-5) hides how unlikely a bin is, and damps its gradient."""
    theta = np.asarray([1.0, 1.0 - 1e-4, 0.0, 0.0])
    exact = am.log_fourier_softmax(theta, num_bins=2001)
    official = am.log_fourier_softmax(theta, num_bins=2001, eps=1e-5)
    assert exact.min() < -20
    assert official.min() > -11.6

    def steepness(eps):
        _, pull = am.vjp(lambda t: am.log_fourier_softmax(t, num_bins=2001, eps=eps)[0], theta)
        return np.abs(pull(np.ones(()))[0]).max()

    assert steepness(0.0) > 100 * steepness(1e-5)


def test_quantiles_are_sharper_than_the_official_bisection():
    u = RNG.uniform(size=(3, 50))
    z = am.fourier_icdf(T, u)
    np.testing.assert_allclose(fourier_cdf(T, z), u, atol=1e-13)


def test_quantiles_are_differentiable():
    u = np.linspace(0.2, 0.8, 5)
    z, pull = am.vjp(lambda u: am.fourier_icdf(T[0], u), u)
    np.testing.assert_allclose(pull(np.ones(5))[0], 1 / fourier_pdf(T[0], z), rtol=1e-9)


def test_quantiles_where_the_density_touches_zero():
    z = am.fourier_icdf(np.asarray([1.0, 1.0, 0.0, 0.0]), np.asarray([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(z, [-1.0, 0.0, 1.0], atol=1e-4)


def test_smoothness_of_the_uniform_is_zero():
    assert fourier_smoothness(np.full(16, 1 / 16)) < 1e-15
    spike = fourier_smoothness(np.eye(16)[3])
    assert spike > fourier_smoothness(am.softmax(np.linspace(0, 1, 16)))


def test_complex_coefficients_differentiate_in_torch():
    torch = pytest.importorskip("torch")
    theta = torch.tensor(T[0], requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: torch.view_as_real(fourier_coefficients(t)), theta)


# -- SDM ---------------------------------------------------------------------------------------


def test_it_is_a_scaled_softmax():
    x, q, d = RNG.normal(size=(4, 3)), RNG.uniform(0, 50, (4, 1)), RNG.uniform(size=(4, 1))
    p = am.sdm_activation(x, q, d)
    np.testing.assert_allclose(p, am.softmax(d * np.log(2 + q) * x), rtol=1e-13)
    powers = (2 + q) ** (d * x)
    np.testing.assert_allclose(p, powers / powers.sum(axis=-1, keepdims=True), rtol=1e-12)
    assert (np.argmax(p, axis=-1) == np.argmax(x, axis=-1)).all()
    assert (am.sdm_activation(x, q, 0 * d) == 1 / 3).all()


def test_it_sharpens_with_similarity():
    x = RNG.normal(size=5)
    tops = [am.sdm_activation(x, np.asarray(q), np.asarray(1.0)).max() for q in (0.0, 5.0, 500.0)]
    assert tops == sorted(tops)
    assert tops[0] < tops[-1]


def test_gradient_in_base_two_plus_q_has_no_logarithm_of_it():
    x, q, d = RNG.normal(size=4), np.asarray([37.0]), np.asarray([0.6])
    _, pull = am.vjp(lambda x: am.log_sdm_activation(x, q, d)[2], x)
    wanted = d * (np.eye(4)[2] - am.sdm_activation(x, q, d))
    np.testing.assert_allclose(pull(np.ones(()))[0], wanted, rtol=1e-12)


def test_exact_logarithm_of_a_very_wrong_class():
    """The official log(r + 1.19e-7) stops at -15.94, where gradients vanish."""
    x, q, d = np.asarray([0.0, 100.0]), np.asarray(np.e - 2), np.asarray(1.0)
    np.testing.assert_allclose(am.log_sdm_activation(x, q, d, base="e"), [-100.0, 0.0], atol=1e-12)

    def pushed(eps):
        f = lambda x: am.log_sdm_activation(x, q, d, base="e", eps=eps)[0]  # noqa: E731
        return am.vjp(f, x)[1](np.ones(()))[0]

    np.testing.assert_allclose(pushed(0.0), [1.0, -1.0], rtol=1e-12)
    assert np.abs(pushed(1.1920929e-07)).max() < 1e-30


def test_masked_logits_do_not_meet_a_distance_of_zero():
    """0 times -inf is NaN in the official formula."""
    x = np.asarray([1.0, -np.inf, 2.0])
    np.testing.assert_array_equal(
        am.sdm_activation(x, np.asarray([1.0]), np.asarray([0.0])), [0.5, 0.0, 0.5]
    )


def test_references_may_come_in_any_order():
    refs = RNG.uniform(size=9), RNG.uniform(size=4)
    x = RNG.uniform(size=(5, 2))
    shuffled = refs[0][::-1], refs[1][[2, 0, 3, 1]]
    np.testing.assert_array_equal(distance_quantile(x, refs), distance_quantile(x, shuffled))
    with pytest.raises(ValueError, match="no references"):
        distance_quantile(x, ())
    with pytest.raises(ValueError, match=r"\(n,\) is needed"):
        distance_quantile(x, (x,))
