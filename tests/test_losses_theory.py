"""Losses of theory: what theorems say of them."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am

RNG = np.random.default_rng(0)


def test_a_low_rank_update_that_starts_at_zero_gives_its_other_factor_no_gradient():
    x, w, inputs = RNG.normal(size=(4, 3)), np.eye(3), (RNG.normal(size=(4, 2)), np.zeros((4, 2)))
    a, b = RNG.normal(size=(2, 3)), np.zeros((3, 2))
    da, db = am.losses.lora_attention_gradient(x, x, w, a, b, inputs)
    assert not da.any()
    assert db.any()


def test_khatri_rao_factors_give_the_gradient_in_linear_time():
    """p x2 = p1 x2 - diag(r) f x2 where p1 has the rank of f times that of the error."""
    u1, u2 = (np.abs(RNG.normal(size=(6, 2))) for _ in range(2))
    c, h, x2 = (RNG.normal(size=(6, 3)) for _ in range(3))
    left, right = am.losses.khatri_rao_lowrank(u1, u2, c, h)
    dense = ((u1 @ u2.T) * (c @ h.T)) @ x2
    np.testing.assert_allclose(left @ (right.T @ x2), dense, rtol=1e-12)


@pytest.fixture
def separable():
    """Tokens, queries, the chosen ones, and W that separates them with margin 1."""
    x, z = RNG.normal(size=(4, 5, 8)), RNG.normal(size=(4, 8))
    best = np.asarray([0, 4, 2, 2])
    gap = x[np.arange(4), best][:, None] - x
    keep = np.arange(5) != best[:, None]
    rows = (gap[:, :, :, None] * z[:, None, None, :]).reshape(4, 5, 64)[keep]
    w = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)[0].reshape(8, 8)
    return x, z, w, best


def test_weight_of_the_chosen_token_grows_with_the_norm(separable):
    """Margins of at least 1 scaled by R leave at most (T - 1) exp(-R) to the other tokens."""
    x, z, w, best = separable
    assert np.min(am.losses.attention_margins(x, z, w, best)) > 1 - 1e-9
    assert am.losses.attention_hinge(x, z, w, best) < 1e-9
    for r in (1.0, 4.0, 16.0):
        p = am.softmax(np.einsum("ntd,de,ne->nt", x, r * w, z))
        rest = 1.0 - p[np.arange(4), best]
        assert np.all(rest <= 4 * np.exp(-r) + 1e-12)


def test_optimal_tokens_are_where_the_risk_goes(separable):
    x, z, _, _ = separable
    v, y = RNG.normal(size=8), np.asarray([1, -1, 1, -1])
    best = am.losses.optimal_tokens(x, v, y)
    gap = x[np.arange(4), best][:, None] - x
    rows = (gap[:, :, :, None] * z[:, None, None, :]).reshape(4, 5, 64)
    keep = np.arange(5) != best[:, None]
    w = np.linalg.lstsq(rows[keep], np.ones(keep.sum()), rcond=None)[0].reshape(8, 8)
    prediction = am.losses.attention_head_prediction(x, z, 60.0 * w, v)
    np.testing.assert_allclose(prediction, (x @ v)[np.arange(4), best], rtol=1e-9)
    risk = am.attention_erm_loss(x, z, 60.0 * w, v, y, reduction="none")
    others = am.attention_erm_loss(x, z, RNG.normal(size=(8, 8)), v, y, reduction="none")
    assert np.all(risk <= others)


def test_risk_gradient_is_the_papers_formula():
    x, z, w, v = (RNG.normal(size=s) for s in ((3, 4, 2), (3, 2), (2, 2), (2,)))
    y = np.asarray([1.0, -1.0, 1.0])
    grad = am.vjp(lambda w: am.attention_erm_loss(x, z, w, v, y), w)[1](np.ones(()))[0]
    p = am.softmax(np.einsum("ntd,de,ne->nt", x, w, z))
    score = y[:, None] * (x @ v)
    slope = -1.0 / (1.0 + np.exp(np.sum(p * score, -1)))
    inner = p * (score - np.sum(p * score, -1, keepdims=True))
    expected = np.einsum("n,ntd,nt,ne->de", slope / 3, x, inner, z)
    np.testing.assert_allclose(grad, expected, rtol=1e-12)


def test_zero_directions_stay_where_they_are():
    w = RNG.normal(size=(2, 2))
    assert am.losses.direction_correlation(w, 0 * w) == 0.0
    np.testing.assert_array_equal(am.losses.normalized_gradient_step(w, 0 * w), w)
    grad = am.vjp(lambda g: am.losses.direction_correlation(w, g), 0 * w)[1](np.ones(()))[0]
    assert not grad.any()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: am.losses.attention_margins(x, x[:, 0], np.eye(2), np.asarray([0, 3])),
         IndexError, "attention_margins: target holds the label 3"),
        (lambda x: am.losses.attention_margins(x, x[:, 0], np.eye(2), np.zeros(2)),
         TypeError, "attention_margins: index has dtype float64"),
        (lambda x: am.attention_erm_loss(x, x[:, 0], np.eye(2), np.ones(2), np.asarray([0, 1])),
         ValueError, "attention_erm_loss: target holds values other than -1 and 1"),
        (lambda x: am.attention_erm_loss(x, x[:, 0], np.eye(2), np.ones(2), np.ones(2), kind="x"),
         ValueError, "attention_erm_loss: kind is 'x'"),
        (lambda x: am.losses.attention_head_prediction(x, x[0], np.eye(2), np.ones(2)),
         ValueError, "attention_head_prediction: z has shape"),
        (lambda x: am.losses.lora_attention_gradient(*[x] * 5, x), TypeError, "inputs is no pair"),
        (lambda x: am.losses.direction_correlation(x, x[0]), ValueError, "w1 has shape (2, 3, 2)"),
    ],
)  # fmt: skip
def test_misuse_says_what_fits(call, error, text):
    with pytest.raises(error) as info:
        call(np.ones((2, 3, 2)))
    assert text in str(info.value)
