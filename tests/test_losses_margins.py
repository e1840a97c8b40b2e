"""Margin losses: kinks, arguments, and what the specifications say of them."""

import numpy as np
import pytest

import anymax as am

X = np.asarray([[1.0, 1.0, 0.0], [2.0, 1.0, 1.0]])
Y = np.asarray([0, 0])


def slope(form, x, *args, **options):
    return np.asarray(am.value_and_grad(lambda z: form(z, *args, reduction="sum", **options))(x)[1])


def test_slopes_at_kinks_are_zero():
    one = np.ones(2, int)
    assert not slope(am.hinge_loss, np.ones(2), one).any()
    assert not slope(am.hinge_embedding_loss, np.ones(2), -one).any()
    assert not slope(am.margin_ranking_loss, np.ones(2), np.ones(2), one).any()
    assert not slope(am.perceptron_loss, X[:1], Y[:1]).any()
    for form in (am.crammer_singer_loss, am.weston_watkins_loss, am.multi_margin_loss):
        assert not slope(form, X[1:], Y[1:]).any()
    assert not slope(am.multilabel_margin_loss, X[1:], np.asarray([[True, False, False]])).any()


def test_first_of_tied_rivals_gets_the_gradient():
    x = np.asarray([[0.5, 2.0, 2.0, -1.0]])
    for form in (am.crammer_singer_loss, am.perceptron_loss):
        assert slope(form, x, np.asarray([3])).tolist() == [[0.0, 1.0, 0.0, -1.0]]


def test_crammer_singer_bounds_the_error():
    x = np.random.default_rng(0).normal(size=(50, 4))
    y = np.arange(50) % 4
    wrong = np.argmax(x, axis=-1) != y
    assert (am.crammer_singer_loss(x, y, reduction="none") >= wrong).all()


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_counted_pairs_are_the_pairs(scale):
    rng = np.random.default_rng(1)
    x = scale + rng.normal(size=(40, 30)) * rng.choice([0.1, 1.0, 3.0], size=(40, 1))
    right = rng.uniform(size=(40, 30)) < 0.3
    both = right[:, :, None] & ~right[:, None, :]
    pairs = np.maximum(0.0, 1.0 - (x[:, :, None] - x[:, None, :])) * both
    expected = pairs.sum(axis=(1, 2)) / 30.0
    actual = am.multilabel_margin_loss(x, right, reduction="none")
    np.testing.assert_allclose(actual, expected, rtol=1e-9 * scale, atol=1e-12)


def test_gap_in_a_list_of_classes():
    x = np.asarray([0.5, 1.0, -0.5])
    gap = am.multilabel_margin_loss(x, np.asarray([0, -1, 2]))
    assert gap == am.multilabel_margin_loss(x, np.asarray([True, False, True]))


def test_masked_targets_may_hold_anything():
    keep, none = np.asarray([True, False]), np.asarray([1.0, np.nan])
    assert am.hinge_loss(np.zeros(2), np.asarray([1, 0]), where=keep) == 1
    assert am.hinge_loss(np.zeros(2), none, where=keep) == 1
    assert am.hinge_embedding_loss(np.ones(2), none, where=keep) == 1
    assert am.margin_ranking_loss(np.zeros(2), np.ones(2), none, where=keep) == 1
    signs = np.asarray([[1.0, -1.0], [0.0, 0.0]])
    assert am.l2_svm_loss(np.zeros((2, 2)), signs, where=keep[:, None]) == 2
    lists = np.asarray([[0, -1], [9, 9]])
    assert am.multilabel_margin_loss(np.zeros((2, 2)), lists, where=keep[:, None]) == 0.5
    with pytest.raises(ValueError, match="other than -1 and 1"):
        am.hinge_loss(np.zeros(2), none, where=~keep)


def test_norm_counts_once_and_masks_leave_out_signs():
    x, w = np.asarray([[0.5, -0.5], [0.0, 0.25]]), np.full((3,), 2.0)
    plain = am.l2_svm_loss(x, np.asarray([0, 1]), reduction="sum")
    assert am.l2_svm_loss(x, np.asarray([0, 1]), w=w, reduction="sum") == plain + 6.0
    keep = np.asarray([True, False])
    sign = np.asarray([[1, 1], [-1, 1]])
    assert am.l2_svm_loss(x, sign, where=keep, reduction="sum") == 0.25 + 1.0
    assert am.l2_svm_loss(x, np.asarray([0, 1]), where=keep, reduction="sum") == np.inf
    assert am.l2_svm_loss(np.asarray([[0.5], [2.0]]), np.asarray([0, 0]), reduction="sum") == 0.25


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: am.hinge_loss(X, np.zeros((2, 3), int)), ValueError, "-1 and 1"),
        (lambda: am.hinge_loss(X, None), TypeError, "target is None"),
        (lambda: am.hinge_loss(X, X > 0, power=3), ValueError, "power is 3"),
        (lambda: am.hinge_loss(X, X > 0, margin="wide"), TypeError, "margin is 'wide'"),
        (lambda: am.hinge_embedding_loss(X, X > 0, margin=np.inf), ValueError, "margin is inf"),
        (lambda: am.crammer_singer_loss(X, X), TypeError, "class indices"),
        (lambda: am.weston_watkins_loss(X, np.asarray([0, 3])), IndexError, "label 3"),
        (lambda: am.multilabel_margin_loss(X, Y), ValueError, "2 fit"),
        (lambda: am.multilabel_margin_loss(X, X), TypeError, "multi-hot"),
        (lambda: am.multilabel_soft_margin_loss(X, Y), TypeError, "int64"),
        (lambda: am.multilabel_soft_margin_loss(X, X[:1]), ValueError, "shape of the logits"),
        (lambda: am.l2_svm_loss(X, np.ones((2, 2))), ValueError, "signs have the shape"),
        (lambda: am.l2_svm_loss(X, np.zeros((2, 3))), ValueError, "-1 and 1"),
    ],
)
def test_arguments_that_do_not_fit(call, error, said):
    with pytest.raises(error, match=said):
        call()


# -- margins on angles -------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"m2": 0.5}, {"m1": 1.5, "m2": 0.25}, {"m1": 4}, {"m3": 0.35}])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_are_finite_at_both_ends(options, dtype):
    c = np.asarray([[1.0, 0.0], [-1.0, 0.0], [1.0 + 2**-23, 0.0], [1.0 - 2**-24, 0.0]], dtype)
    y = np.zeros(4, int)
    logits, pull = am.vjp(lambda x: am.apply_angular_margin(x, y, **options), c)
    (grad,) = pull(np.ones_like(c))
    assert np.isfinite(logits).all()
    assert np.isfinite(grad).all()
    exact = am.apply_angular_margin(c[:2], y[:2], **options)[:, 0]
    angle = np.asarray([0.0, np.pi]) * options.get("m1", 1) + options.get("m2", 0.0)
    if "m1" not in options:
        wrapped = c[1, 0] - options.get("m2", 0.0) * np.sin(options.get("m2", 0.0))
        expected = np.where(angle > np.pi, wrapped, np.cos(angle)) - options.get("m3", 0.0)
        np.testing.assert_allclose(exact, expected, rtol=1e-6)


def test_sine_is_never_far_off_beside_the_ends():
    from anymax.losses.margins._angles import sine

    gap = np.concatenate([np.linspace(0.0, 2e-7, 201), np.linspace(0.0, 1.0, 201)])
    c = 1.0 - gap
    exact = np.sqrt((1 - c) * (1 + c))
    assert np.max(np.abs(sine(np, c) - exact)) < 1.2e-4
    far = gap > 1.01e-7
    np.testing.assert_allclose(sine(np, c[far]), exact[far], rtol=1e-12)


def test_margins_grow_with_scale_of_no_vector():
    """Lengths of embeddings and class vectors do not matter, and squares do not overflow."""
    x, w, y = np.eye(3)[:2] + 0.25, np.eye(3) - 0.125, np.asarray([0, 2])
    for kind in ("cosface", "arcface"):
        small = am.margin_softmax_loss(x, w, y, kind=kind, reduction="none")
        large = am.margin_softmax_loss(1e200 * x, 1e-200 * w, y, kind=kind, reduction="none")
        np.testing.assert_allclose(large, small, rtol=1e-12)


def test_zero_vectors_get_no_gradient():
    x, w, y = np.zeros((1, 3)), np.eye(3), np.asarray([1])
    for kind in ("cosface", "arcface", "sphereface", "lsoftmax"):
        form = lambda x, w, kind=kind: am.margin_softmax_loss(x, w, y, kind=kind)  # noqa: E731
        _, (by_x, by_w) = am.value_and_grad(form, (0, 1))(x, w)
        assert not by_x.any()
        assert not by_w.any()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: am.apply_angular_margin(X, Y, m1=0), ValueError, "m1 is 0"),
        (lambda: am.apply_angular_margin(X, Y, m2=28.6), ValueError, "radians"),
        (lambda: am.apply_angular_margin(X, X), TypeError, "class indices"),
        (lambda: am.apply_angular_margin(X, np.asarray([0, 3])), IndexError, "label 3"),
        (lambda: am.apply_angular_margin(X, Y, scale=np.ones(4)), ValueError, "scale"),
        (lambda: am.margin_softmax_loss(X, X, Y, kind="face"), ValueError, "'cosface'"),
        (lambda: am.margin_softmax_loss(X, X[:, :2], Y, kind="cosface"), ValueError, "must match"),
        (lambda: am.margin_softmax_loss(X, X, Y, kind="arcface", margin=28.6), ValueError, "m2"),
    ],
)
def test_angular_arguments_that_do_not_fit(call, error, said):
    with pytest.raises(error, match=said):
        call()
