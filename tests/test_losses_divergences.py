"""Divergences and distillation: limits, bounds, and places where official code goes wrong."""

import numpy as np
import pytest

import anymax as am
from anymax.testing import assert_close, logits

X, Y = logits(4, 6, seed=1), logits(4, 6, seed=2)
LOST = np.asarray([[0.5, -np.inf, 1.0]])
ALSO = np.asarray([[-1.0, -np.inf, 0.25]])
FULL = np.asarray([[0.0, 0.5, 1.0]])


def test_classes_that_nobody_has_cost_nothing():
    """torch and the official code of MoSA make NaN of (-inf) - (-inf)."""
    two = np.asarray([0, 2])
    for f in (am.distillation_kl, am.symmetric_kl_div, am.generalized_jsd, am.soft_cross_entropy):
        assert_close(f(LOST, ALSO), f(LOST[:, two], ALSO[:, two]), rtol=1e-15)
    p, q = am.log_softmax(LOST), am.log_softmax(ALSO)
    assert_close(am.kl_div(p, q, log_target=True), am.distillation_kl(LOST, ALSO), rtol=1e-15)


def test_classes_that_one_has_cost_infinitely_much_to_the_other():
    assert am.distillation_kl(LOST, FULL) == np.inf
    assert np.isfinite(am.distillation_kl(FULL, LOST))
    assert am.distillation_kl(FULL, LOST, direction="reverse") == np.inf
    assert am.symmetric_kl_div(LOST, FULL) == np.inf
    assert am.soft_cross_entropy(LOST, FULL) == np.inf
    assert np.isfinite(am.soft_cross_entropy(LOST, FULL, eps=1e-10))
    assert np.isfinite(am.generalized_jsd(LOST, FULL))


def test_official_floor_of_the_cross_entropy_saturates():
    """DistillLoss adds 1e-10 inside the logarithm, and so loses all beyond 23."""
    s, t = np.asarray([[0.0, 1000.0]]), np.asarray([[1000.0, 0.0]])
    assert am.soft_cross_entropy(s, t) == 1000.0
    assert_close(am.soft_cross_entropy(s, t, eps=1e-10), -np.log(1e-10), rtol=1e-12)


def test_generalized_jsd_jumps_at_its_ends():
    """The formula tends to 0 there; over beta it tends to the divergence that stands at the end."""
    forward = am.distillation_kl(X / 4, Y / 4)
    assert_close(am.generalized_jsd(X / 4, Y / 4, beta=0.0), forward, rtol=1e-14)
    assert_close(am.generalized_jsd(X / 4, Y / 4, beta=1e-9) / 1e-9, forward, rtol=1e-6)


def test_generalized_jsd_is_bounded_and_keeps_its_digits():
    apart = am.generalized_jsd(np.asarray([[0.0, -3e4]]), np.asarray([[-3e4, 0.0]]))
    assert_close(apart, np.log(2.0), rtol=1e-15)
    near = am.generalized_jsd(np.float32(X / 4 + 1e-6), np.float32(X / 4), reduction="none")
    assert np.all(np.abs(near) < 1e-7)


def test_skew_kl_is_bounded_by_its_share():
    t, s = np.asarray([[0.0, -np.inf]]), np.asarray([[-np.inf, 0.0]])
    assert_close(am.skew_kl(s, t, alpha=0.1), -np.log(0.1), rtol=1e-15)


def test_constant_targets_change_the_gradient_alone():
    free = am.symmetric_kl_div(X, Y, stop_gradient=False)
    assert am.symmetric_kl_div(X, Y) == free
    _, g = am.value_and_grad(lambda x: am.symmetric_kl_div(x, Y, reduction="sum"))(X)
    assert_close(g, (am.softmax(X) - am.softmax(Y)) / 2, rtol=1e-14)
    _, g = am.value_and_grad(lambda x: am.symmetric_kl_div(1e3 * x, Y, reduction="sum"))(X)
    assert np.isfinite(g).all()


def test_an_expanded_square_turns_negative_and_ours_does_not():
    w = np.float32(1e3) + np.zeros((1, 3), np.float32)
    gram = np.full((3, 3), 7.3, np.float32)
    near = w + np.asarray([[1e-4, 0, 0]], np.float32)
    e = am.losses.activation_mse(near, w, gram)
    assert 0 <= e[0] < 1e-6


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: am.distillation_kl(X, Y, direction="both"), ValueError, "direction is 'both'"),
        (lambda: am.distillation_kl(X, Y[:, :5]), ValueError, "does not broadcast|must match"),
        (lambda: am.distillation_kl(X, Y[:, :1]), ValueError, "6 classes but teacher_logits has 1"),
        (lambda: am.distillation_kl(X, Y, temperature=0), ValueError, "temperature is 0"),
        (lambda: am.distillation_kl(X, Y, temperature=-np.ones(4)), ValueError, "positive"),
        (lambda: am.distillation_kl(X, Y, weight=np.ones(6)), ValueError, "unreduced loss"),
        (lambda: am.distillation_kl(X, Y, axis=2), IndexError, "axis 2"),
        (lambda: am.generalized_jsd(X, Y, beta=1.5), ValueError, "beta is 1.5"),
        (lambda: am.skew_kl(X, Y, alpha="a"), TypeError, "alpha is 'a'"),
        (lambda: am.kl_div(X, Y, weight=2.0), TypeError, "weight is 2.0"),
        (lambda: am.soft_cross_entropy(X, Y, eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: am.attention_distillation_loss(X, Y, eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: am.losses.hidden_mse(X, Y[:2]), ValueError, "one shape"),
        (lambda: am.losses.activation_mse(X, Y, np.eye(5)), ValueError, "6"),
        (
            lambda: am.losses.quantization_search_mse(X, Y, X, group_size=4),
            ValueError,
            "does not divide I = 6",
        ),
    ],
)
def test_errors_say_what_fits(call, kind, says):
    with pytest.raises(kind, match=says):
        call()
