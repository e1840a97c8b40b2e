"""NoProp and softmax regression: what the formulas promise, and where others got them wrong."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am

RNG = np.random.default_rng(0)


def test_coefficients_are_not_one_step_off():
    """A third-party code takes the ratio one index off, and loses the marginals."""
    s = np.asarray([0.1, 0.3, 0.6, 0.8])
    a, b, _ = am.losses.noprop_dt_coefficients(s)
    np.testing.assert_allclose(a + b * np.sqrt(s[:-1]), np.sqrt(s[1:]), rtol=1e-14)
    ratio = s[:-1] / s[1:]
    off = ratio[:-1]
    wrong = np.sqrt(s[2:]) * (1 - off) / (1 - s[1:-1])
    wrong_b = np.sqrt(off) * (1 - s[2:]) / (1 - s[1:-1])
    assert np.max(np.abs(wrong + wrong_b * np.sqrt(s[1:-1]) - np.sqrt(s[2:]))) > 0.02


def test_a_run_of_steps_with_perfect_predictions_arrives_at_the_embedding():
    s = np.concatenate([np.linspace(0.0, 0.9, 9), [1.0]])
    a, b, c = am.losses.noprop_dt_coefficients(s)
    u, z = RNG.normal(size=3), RNG.normal(size=3)
    for t in range(9):
        z = a[t] * u + b[t] * z + np.sqrt(c[t]) * RNG.normal(size=3)
    np.testing.assert_allclose(z, u, atol=1e-12)


def test_divergence_has_the_scale_of_the_noise():
    """Half the squared embedding, as third parties write it, is right for no alpha_bar."""
    u = RNG.normal(size=(1, 3))
    x, y, snr = np.zeros((1, 2)), np.asarray([0]), np.ones(1)

    def kl(alpha_bar):
        loss = am.noprop_dt_loss(x, y, u, u, snr, snr, alpha_bar_0=alpha_bar, num_steps=1)
        return float(loss) - np.log(2.0)

    assert abs(kl(0.0)) < 1e-15
    s, square = 0.25, float(np.sum(u * u))
    expected = 0.5 * (3 * (1 - s) - 3 - 3 * np.log(1 - s) + s * square)  # of two Gaussians
    assert abs(kl(s) - expected) < 1e-14


def test_differences_of_ratios_telescope():
    snr = np.cumsum(RNG.uniform(size=6))
    u, p = RNG.normal(size=(2, 1, 3))
    x, y = np.zeros((1, 2)), np.asarray([0])
    options = {"alpha_bar_0": 0.0, "num_steps": 1, "eta": 1.0}
    parts = [
        am.noprop_dt_loss(x, y, p, u, snr[t, None], snr[t - 1, None], **options) - np.log(2.0)
        for t in range(1, 6)
    ]
    whole = am.noprop_dt_loss(x, y, p, u, snr[-1:], snr[:1], **options) - np.log(2.0)
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)


@pytest.mark.parametrize("alpha_bar", [-0.1, 1.0])
def test_no_divergence_from_a_clean_start(alpha_bar):
    x, y, u = np.zeros((1, 2)), np.asarray([0]), np.ones((1, 3))
    with pytest.raises(ValueError, match="noprop_ct_loss: alpha_bar_0 is"):
        am.noprop_ct_loss(x, y, u, u, np.ones(1), alpha_bar_0=alpha_bar)


def test_logits_and_targets_of_flow_matching_go_together():
    u = np.ones((1, 3))
    with pytest.raises(TypeError, match="noprop_fm_loss: logits and target go together"):
        am.noprop_fm_loss(u, u, u, logits=np.ones((1, 2)))


def test_hessian_is_the_second_derivative():
    jax = pytest.importorskip("jax")
    a, x, b, w = (RNG.normal(size=s) for s in ((5, 3), (3,), (5,), (5,)))
    with jax.enable_x64(True):
        arrays = tuple(jax.numpy.asarray(y) for y in (a, x, b, w))
        loss = lambda x: am.softmax_regression_loss(arrays[0], x, arrays[2], w=arrays[3])  # noqa: E731
        expected = jax.jit(jax.hessian(loss))(arrays[1])
    mine = am.losses.softmax_regression_hessian(a, x, b, w=w)
    np.testing.assert_allclose(mine, expected, rtol=1e-11, atol=1e-11)


def test_strong_regularisers_make_the_loss_convex():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        a, x, b = 4 * rng.normal(size=(6, 3)), rng.normal(size=3), rng.dirichlet(np.ones(6))
        w = np.full(6, np.sqrt(4.1))
        assert np.linalg.eigvalsh(am.losses.softmax_regression_hessian(a, x, b, w=w)).min() > 0


def test_label_shift_is_at_most_half_of_the_step():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        a, x, y, b = (rng.normal(size=s) for s in ((6, 3), (3,), (3,), (6,)))
        shift = am.losses.icl_label_shift(a, x, y, b) - b
        assert np.linalg.norm(shift) <= 0.5 * np.linalg.norm(a @ (x - y))


def test_norm_has_no_slope_where_it_is_zero():
    a, b = RNG.normal(size=(4, 3)), np.full(4, 0.25)
    f = lambda x: am.softmax_regression_loss(a, x, b, squared=False)  # noqa: E731
    y, pull = am.vjp(f, np.zeros(3))
    assert y == 0.0
    assert not pull(np.ones(()))[0].any()
