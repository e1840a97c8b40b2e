"""Segmentation losses: indices, absent classes, subgradients, ties."""

import numpy as np
import pytest

import anymax as am

RNG = np.random.default_rng(0)
P = np.asarray(am.softmax(RNG.normal(size=(2, 8, 3))))
Y = np.arange(16).reshape(2, 8) % 2  # class 2 is absent
FORMS = (am.dice_loss, am.tversky_loss, am.lovasz_softmax)


def gradient(f, x):
    return np.asarray(am.value_and_grad(f)(x)[1])


def test_perfect_and_hopeless_predictions():
    hot = np.eye(3)[Y]
    for form in FORMS:
        assert form(hot, Y) == 0.0
        assert form(np.eye(3)[2 - 2 * Y], Y) == 1.0
    assert am.lovasz_hinge(np.where(Y == 1, 2.0, -2.0), Y) == 0.0


@pytest.mark.parametrize("form", FORMS)
def test_absent_classes_leave_the_mean(form):
    """segmentation_models_pytorch counts them as 0."""
    each = form(P, Y, reduction="none")
    assert each[2] == 0.0
    np.testing.assert_allclose(form(P, Y), np.mean(each[:2]), rtol=1e-14)
    assert form(P, Y, classes="all") != form(P, Y)
    bad = np.where(np.arange(3) == 2, np.nan, P)
    np.testing.assert_allclose(form(bad, Y), form(P, Y), rtol=1e-14)
    g = gradient(lambda p: form(p, Y), bad)
    assert not g[..., 2].any()
    assert np.isfinite(g).all()


@pytest.mark.parametrize("form", FORMS)
def test_samples_alone(form):
    each = form(P, Y, per_sample=True, reduction="none")
    assert each.shape == (2, 3)
    for i in range(2):
        np.testing.assert_allclose(each[i], form(P[i], Y[i], reduction="none"), rtol=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_masked_pixels_leak_nowhere(form):
    keep = np.arange(8)[:, None] < 5
    bad = np.where(keep, P, np.nan)
    np.testing.assert_allclose(form(bad, Y, where=keep), form(P[:, :5], Y[:, :5]), rtol=1e-14)
    g = gradient(lambda p: form(p, Y, where=keep), bad)
    assert np.isfinite(g).all()
    assert not g[:, 5:].any()


def test_hinge_masks_leak_nowhere():
    s = np.asarray([0.5, np.nan, -1.0, np.inf])
    y, keep = np.asarray([1, 0, 1, 0]), np.asarray([True, False, True, False])
    assert am.lovasz_hinge(s, y, where=keep) == am.lovasz_hinge(s[keep], y[keep])
    g = gradient(lambda x: am.lovasz_hinge(x, y, where=keep), s)
    assert np.isfinite(g).all()
    assert not g[~keep].any()


def test_lovasz_softmax_has_the_subgradient_of_the_paper():
    """sign(p - truth) times the step of the pixel's rank."""
    p, y = P[0], Y[0]
    for c in range(2):
        truth = y == c
        error = np.abs(truth - p[:, c])
        order = np.argsort(-error, kind="stable")
        inside = np.cumsum(truth[order])
        jaccard = 1 - (truth.sum() - inside) / (truth.sum() + np.cumsum(~truth[order]))
        step = np.empty(8)
        step[order] = np.diff(jaccard, prepend=0.0)
        one = np.asarray([0.0, 0.0, 0.0])
        one[c] = 1.0
        _, pull = am.vjp(lambda x: am.lovasz_softmax(x, y, reduction="none"), p)
        (g,) = pull(one)
        np.testing.assert_allclose(g[:, c], np.where(truth, -1, 1) * step, rtol=1e-12)


def test_lovasz_losses_do_not_depend_on_the_order_of_ties():
    p = np.round(P.reshape(-1, 3) * 4) / 4
    y = Y.reshape(-1)
    for _ in range(5):
        order = RNG.permutation(16)
        np.testing.assert_allclose(
            am.lovasz_softmax(p[order], y[order]), am.lovasz_softmax(p, y), rtol=1e-13
        )
        s = np.round(p[:, 0] * 8 - 4)
        np.testing.assert_allclose(
            am.lovasz_hinge(s[order], y[order]), am.lovasz_hinge(s, y), rtol=1e-13
        )


def test_lovasz_softmax_is_convex_along_a_line():
    q = np.asarray(am.softmax(RNG.normal(size=(2, 8, 3))))
    middle = am.lovasz_softmax((P + q) / 2, Y)
    assert middle <= (am.lovasz_softmax(P, Y) + am.lovasz_softmax(q, Y)) / 2 + 1e-15


def test_indices_that_the_tversky_index_contains():
    t = np.eye(3)[Y]
    both, mine, theirs = ((P * t).sum((0, 1)), P.sum((0, 1)), t.sum((0, 1)))
    options = {"classes": "all", "reduction": "none"}
    np.testing.assert_allclose(
        am.dice_loss(P, Y, **options), 1 - 2 * both / (mine + theirs), rtol=1e-14
    )
    np.testing.assert_allclose(
        am.tversky_loss(P, Y, alpha=1.0, beta=1.0, **options),
        1 - both / (mine + theirs - both),
        rtol=1e-14,
    )


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: am.dice_loss(P, Y, classes="some"), ValueError, "'present' or 'all'"),
        (lambda: am.dice_loss(P, Y, eps=0.0), ValueError, "eps is 0"),
        (lambda: am.tversky_loss(P, Y, gamma=0), ValueError, "gamma is 0"),
        (lambda: am.dice_loss(P[0, 0], Y[0, 0], per_sample=True), ValueError, "per_sample"),
        (lambda: am.lovasz_softmax(P, P), TypeError, "class indices"),
        (lambda: am.lovasz_softmax(P, Y + 2), IndexError, "label 3"),
        (lambda: am.lovasz_hinge(P, Y), ValueError, "shape of the logits"),
        (lambda: am.lovasz_hinge(P[..., 0], Y + 1), ValueError, "0 and 1"),
        (lambda: am.lovasz_hinge(P[..., 0], P[..., 0]), TypeError, "boolean or integer"),
    ],
)
def test_arguments_that_do_not_fit(call, error, said):
    with pytest.raises(error, match=said):
        call()
