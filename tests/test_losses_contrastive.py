"""Contrastive losses: what official code gets wrong, bounds, and arguments that do not fit."""

import numpy as np
import pytest

import anymax as am
from anymax.losses.contrastive import _groups, sampled_info_nce

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 5, 3))
LOSSES = {
    "info_nce": am.info_nce,
    "nt_xent": am.nt_xent,
    "decoupled_contrastive_loss": am.decoupled_contrastive_loss,
    "siglip_loss": am.siglip_loss,
}
EVERY = pytest.mark.parametrize("form", LOSSES.values(), ids=LOSSES)


@EVERY
def test_zero_vector_stays_zero_with_zero_gradient(form):
    a = A.copy()
    a[2] = 0.0
    loss, (da, db) = am.value_and_grad(form, argnums=(0, 1))(a, B)
    assert np.isfinite(loss)
    assert not da[2].any()
    assert np.isfinite(da).all()
    assert np.isfinite(db).all()


@EVERY
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_squares_of_lengths_do_not_underflow_or_overflow(form, size):
    a, b = A.astype(np.float32), B.astype(np.float32)
    np.testing.assert_allclose(form(a * np.float32(size), b), form(a, b), rtol=1e-5)


@EVERY
def test_reordering_the_examples_reorders_the_losses(form):
    order = np.asarray([3, 0, 4, 2, 1])
    loss = form(A, B, reduction="none")
    both = order if loss.size == 5 else np.concatenate([order, order + 5])
    np.testing.assert_allclose(form(A[order], B[order], reduction="none"), loss[both])


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_info_nce_is_bounded(temperature):
    worst = am.info_nce(A, -A, temperature=temperature, reduction="none")
    assert (worst >= 0).all()
    assert (worst <= np.log(5) + 2 / temperature).all()


def test_small_losses_keep_their_digits():
    q = np.eye(2, dtype=np.float32)
    loss = am.info_nce(q, q, temperature=0.05)
    np.testing.assert_allclose(loss, np.exp(-20.0), rtol=1e-5)  # 0 for a difference of float32


def test_examples_without_a_positive_leave_the_mean():
    """The author's code gives NaN."""
    target = np.asarray([0, 0, 1, 2, 1])
    rows = am.supervised_contrastive_loss(A, target, reduction="none")
    assert rows[3] == 0.0
    np.testing.assert_allclose(am.supervised_contrastive_loss(A, target), rows[[0, 1, 2, 4]].mean())


def test_positives_are_counted_some_rows_at_a_time(monkeypatch):
    target, where = np.asarray([[0, 0, 1, 2, 1], [3, 3, 3, 1, 0]]), np.arange(5) != 1
    whole = [_groups.counted(np, target, w, np.float64) for w in (None, where[None])]
    monkeypatch.setattr(_groups, "_BLOCK", 20)
    parts = [_groups.counted(np, target, w, np.float64) for w in (None, where[None])]
    np.testing.assert_array_equal(whole, parts)
    np.testing.assert_array_equal(whole[0], [[1, 1, 1, 0, 1], [2, 2, 2, 0, 0]])


def test_scores_below_minus_hundred_are_no_mask():
    """The official code puts -100 in the place of positives."""
    logits, target = np.asarray([[-500.0, -520.0, -480.0]]), np.asarray([[True, True, False]])
    np.testing.assert_allclose(am.decoupled_softmax_loss(logits, target), (20.0 + 40.0) / 2)


def test_epsilon_is_added_to_the_difference():
    u, v = np.zeros((1, 4)), np.full((1, 4), 10.0)
    loss = am.triplet_margin_loss(u, u, v, margin=20.0, eps=0.5)
    np.testing.assert_allclose(loss, 20.0 + 0.5 * 2 - 9.5 * 2)


def test_zero_items_and_masks_of_nothing_give_no_nan():
    """The official code gives NaN for both."""
    user, item, rest = np.zeros((2, 3)), np.zeros((2, 3)), RNG.normal(size=(4, 3))
    np.testing.assert_allclose(am.sampled_info_nce(user, item, rest), np.log(5.0))
    assert am.sampled_info_nce(user, item, rest, where=np.zeros(2, bool)) == 0.0


def test_filter_of_samples_works_some_rows_at_a_time(monkeypatch):
    n = np.concatenate([B, A[:2] * 3.0])
    whole = am.sampled_info_nce(B, A, n, reduction="none")
    monkeypatch.setattr(sampled_info_nce, "_BLOCK", 14)
    np.testing.assert_allclose(am.sampled_info_nce(B, A, n, reduction="none"), whole, rtol=1e-12)


def test_best_temperature_is_where_the_slope_of_the_loss_is_zero():
    x, y = RNG.normal(size=(4, 9)), np.arange(4)
    tau = am.optimal_temperature(x, rho=0.75)
    slope = am.value_and_grad(lambda t: am.kl_dro_loss(x, y, t, rho=0.75))(tau)[1]
    np.testing.assert_allclose(slope, 0.0, atol=1e-14)


def test_best_temperature_has_the_derivatives_of_its_root():
    x = RNG.normal(size=(3, 6))
    tau, (dx, drho) = am.value_and_grad(
        lambda x, r: am.optimal_temperature(x, rho=r) @ np.ones(3), argnums=(0, 1)
    )(x, np.full(3, 0.5))
    t = am.optimal_temperature(x, rho=0.5)[:, None]
    p = am.softmax(x, temperature=t)
    centred = x - (p * x).sum(-1, keepdims=True)
    variance = (p * centred**2).sum(-1, keepdims=True)
    np.testing.assert_allclose(dx, t * p * centred / variance, rtol=1e-9)
    np.testing.assert_allclose(drho, (-(t**3) / variance)[:, 0], rtol=1e-9)
    assert np.isfinite(tau)


def test_surrogate_changes_the_value_alone():
    tau = np.full(5, 0.5), np.full(5, 0.25)
    form = am.robust_global_contrastive_loss
    plain, grads = am.value_and_grad(form, argnums=(0, 1, 2, 3))(A, B, *tau)
    other, same = am.value_and_grad(
        lambda *args: form(*args, surrogate=True), argnums=(0, 1, 2, 3)
    )(A, B, *tau)
    assert abs(float(plain) - float(other)) > 0.1
    for g, h in zip(grads, same, strict=True):
        np.testing.assert_array_equal(g, h)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: am.info_nce(A, B[:4]), ValueError, "elements along B"),
        (lambda: am.info_nce(A, B, temperature=0.0), ValueError, "temperature is 0.0"),
        (lambda: am.info_nce(A, B, temperature=np.zeros(5)), ValueError, "positive and finite"),
        (lambda: am.info_nce(A, B, negatives=B[:, :2]), ValueError, "negatives have shape"),
        (lambda: am.info_nce(A, B, where=np.ones((5, 4), bool)), ValueError, "where has shape"),
        (lambda: am.nt_xent(A, B, weight=np.ones(5)), ValueError, "weight has shape"),
        (lambda: am.siglip_loss(A, B, bias=None), TypeError, "bias is None"),
        (lambda: am.supervised_contrastive_loss(A, A[:, 0]), TypeError, "target has dtype"),
        (
            lambda: am.supervised_contrastive_loss(A, np.arange(5), kind="mid"),
            ValueError, "kind is 'mid'",
        ),
        (lambda: am.triplet_margin_loss(A, B, B[:, :2]), ValueError, "negative has shape"),
        (lambda: am.triplet_margin_loss(A, B, A, p=0), ValueError, "p is 0"),
        (lambda: am.info_nce_hard_negatives(A, B, num_negatives=1), ValueError, "10 fit"),
        (
            lambda: am.info_nce_hard_negatives(A, B, positive=np.arange(1, 6)),
            IndexError, "0 to 4 and -1",
        ),
        (lambda: am.decoupled_softmax_loss(A, np.ones(A.shape)), TypeError, "boolean"),
        (
            lambda: am.index_sampled_softmax_loss(A[:, 0], A, B, num_classes=2),
            ValueError, "num_classes is 2",
        ),
        (lambda: am.losses.lid_mle(A, estimator="mle"), ValueError, "estimator is 'mle'"),
        (lambda: am.optimal_temperature(A, rho=1, max_temperature=1e-3), ValueError, "less than"),
        (
            lambda: am.kl_dro_loss(A, np.zeros(5, int), np.zeros(5), rho=1.0),
            ValueError, "positive and finite",
        ),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("form", ["decoupled_softmax_loss", "soft_top_k_loss"])
def test_lists_of_dropped_examples_may_hold_anything(form):
    options = {"k": 1} if form == "soft_top_k_loss" else {}
    x, where = RNG.normal(size=(2, 4)), np.asarray([[True], [False]])
    y = getattr(am, form)(x, np.asarray([[1, -1], [9, -100]]), where=where, **options)
    np.testing.assert_allclose(y, getattr(am, form)(x[:1], np.asarray([[1, -1]]), **options))
