"""Losses of classifiers where official implementations go wrong, at their edges, and in errors."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

import anymax as am

# -- reductions ------------------------------------------------------------------------------------


def test_a_weight_of_zero_has_its_gradient_and_drops_what_is_not_finite():
    """Raising a weight from 0 brings its loss in; a loss of infinity stays out while it is 0."""
    x, y = np.asarray([1.0, -np.inf]), np.asarray([1.0, 1.0])

    def total(w):
        return am.binary_cross_entropy_with_logits(x, y, weight=w, reduction="sum")

    loss, slope = am.value_and_grad(total)(np.asarray([0.0, 0.0]))
    assert loss == 0
    np.testing.assert_allclose(slope, [np.log1p(np.exp(-1.0)), 0.0])


def test_a_dropped_example_may_weigh_nan():
    """Weights that are quotients of counts are NaN where padding has none."""
    x, y, w = np.asarray([1.0, 2.0]), np.asarray([1.0, 0.0]), np.asarray([1.0, np.nan])

    def loss(w):
        where = np.asarray([True, False])
        return am.binary_cross_entropy_with_logits(x, y, weight=w, where=where)

    value, slope = am.value_and_grad(loss)(w)
    np.testing.assert_allclose(value, np.log1p(np.exp(-1.0)))
    np.testing.assert_allclose(slope, [np.log1p(np.exp(-1.0)), 0.0])


def test_a_masked_probability_may_be_nan_beside_class_weights():
    x, t = np.asarray([[1.0, 2.0], [0.5, 0.0]]), np.asarray([[0.25, 0.75], [np.nan, np.nan]])
    keep = np.asarray([[True], [False]])
    loss = am.sparsemax_loss(x, t, where=keep, weight=np.asarray([1.0, 2.0]))
    np.testing.assert_allclose(loss, am.sparsemax_loss(x[:1], t[:1]))


# -- arguments -------------------------------------------------------------------------------------


def test_torch_leaves_come_in_without_a_warning_and_keep_their_gradient():
    """torch.asarray warns of leaves, and older versions of it cut the graph."""
    torch = pytest.importorskip("torch")
    x = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, 0.0]], requires_grad=True)
    w = torch.tensor([1.0, 2.0, 0.5], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        am.softmax_focal_loss(x, torch.tensor([0, 1]), weight=w).backward()
    assert x.grad.abs().min() > 0
    assert w.grad.abs().max() > 0


# -- what official code gets wrong -----------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.5])
def test_saturated_logits_have_focal_gradient_0(gamma):
    """A power below 1 has an infinite slope at 0: torchvision's gradient is NaN there."""
    x, y = np.asarray([1e4, -1e4, 200.0]), np.asarray([1.0, 0.0, 1.0])
    loss, pull = am.vjp(lambda x: am.sigmoid_focal_loss(x, y, gamma=gamma, reduction="sum"), x)
    assert loss < 1e-80
    assert abs(pull(np.ones(()))[0]).max() < 1e-80
    rows, labels = np.asarray([[1e4, 0.0, -5.0], [0.0, 0.0, 900.0]]), np.asarray([0, 2])
    loss, pull = am.vjp(
        lambda x: am.softmax_focal_loss(x, labels, gamma=gamma, reduction="sum"), rows
    )
    assert loss == 0
    assert (pull(np.ones(()))[0] == 0).all()


def test_infinite_logits_on_the_right_side_cost_nothing():
    """torch has 0 * inf there."""
    x, y = np.asarray([np.inf, -np.inf, -np.inf, np.inf]), np.asarray([1.0, 0.0, 1.0, 0.0])
    loss = am.binary_cross_entropy_with_logits(x, y, reduction="none")
    np.testing.assert_array_equal(loss, [0, 0, np.inf, np.inf])


def test_a_probability_of_0_costs_100_or_infinity():
    p, y = np.asarray([0.0, 1.0, 0.0]), np.asarray([1.0, 0.0, 0.0])
    exact = am.binary_cross_entropy(p, y, log_floor=None, reduction="none")
    np.testing.assert_array_equal(am.binary_cross_entropy(p, y, reduction="none"), [100, 100, 0])
    np.testing.assert_array_equal(exact, [np.inf, np.inf, 0])


def test_stablemax_cross_entropy_keeps_dtype_and_shape():
    """The official code gives float64, and (N, 1) without a reduction."""
    x = np.zeros((3, 4), np.float32)
    loss = am.stablemax_cross_entropy(x, np.zeros(3, int), reduction="none")
    assert loss.dtype == np.float32
    assert loss.shape == (3,)


def test_stablemax_learns_where_softmax_has_collapsed():
    """A lead of 40 rounds the gradient of cross entropy to 0 in float32."""
    x, y = np.asarray([[40.0, 0.0, -1.0]], np.float32) * 3, np.asarray([0])
    soft = am.value_and_grad(lambda x: am.cross_entropy(x, y))(x)[1]
    stable = am.value_and_grad(lambda x: am.stablemax_cross_entropy(x, y))(x)[1]
    assert abs(soft[0, 0]) == 0
    assert (stable != 0).all()


# -- Fenchel-Young losses --------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [1.25, 1.5, 2.0, 3.0])
def test_a_label_that_leads_by_its_margin_costs_exactly_nothing(alpha):
    lead = 1 / (alpha - 1)
    x = np.asarray([[lead, 0.0, 0.0], [lead - 0.25, 0.0, 0.0]]) + 1e3
    loss, pull = am.vjp(
        lambda x: am.entmax_loss(x, np.asarray([0, 0]), alpha=alpha, reduction="none"), x
    )
    (slope,) = pull(np.ones(2))
    assert loss[0] == 0
    assert (slope[0] == 0).all()
    assert loss[1] > 0
    assert (slope[1] != 0).all()


def test_entmax_loss_has_the_jacobian_of_entmax_as_hessian():
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.5, -0.25, 1.0, -2.0], dtype=torch.float64)
    y = torch.tensor(1)
    curved = torch.autograd.functional.hessian(lambda x: am.entmax_loss(x, y, alpha=1.5), x)
    slopes = torch.autograd.functional.jacobian(am.entmax15, x)
    np.testing.assert_allclose(curved.numpy(), slopes.numpy(), atol=1e-12)


# -- what is refused -------------------------------------------------------------------------------


X, Y = np.zeros((2, 3)), np.asarray([0, 1])


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: am.softmax_focal_loss(X, X), TypeError, "an integer dtype"),
        (lambda: am.softmax_focal_loss(X, Y, gamma=-1.0), ValueError, "gamma is -1.0"),
        (lambda: am.softmax_focal_loss(X, Y, label_smoothing=2.0), ValueError, "from 0 to 1"),
        (lambda: am.sigmoid_focal_loss(X, Y), ValueError, "they must match"),
        (lambda: am.sigmoid_focal_loss(X, X, alpha=-1.0), ValueError, "alpha is -1.0"),
        (lambda: am.binary_cross_entropy(X, X[:1]), ValueError, "they must match"),
        (lambda: am.generalized_cross_entropy(X, Y, q=0.0), ValueError, "q is 0.0"),
        (lambda: am.poly_loss(X, Y, epsilon=None), TypeError, "epsilon is None"),
        (lambda: am.poly_loss(X, Y, epsilon=np.zeros(3)), ValueError, "does not broadcast"),
        (lambda: am.symmetric_cross_entropy(X, Y, log_zero=1.0), ValueError, "not positive"),
        (lambda: am.entmax_loss(X, Y, alpha=0.5), ValueError, "at least 1"),
        (lambda: am.entmax_loss(X, Y, alpha=np.asarray(0.5)), ValueError, "at least 1"),
        (lambda: am.normmax_loss(X, Y, alpha=1.0), ValueError, "above 1"),
        (lambda: am.fenchel_young_loss(X, Y, regularizer="l2"), ValueError, "'norm' fits"),
        (lambda: am.sparsemax_loss(X, np.asarray([0, 3])), IndexError, "label 3"),
        (lambda: am.early_exit_cross_entropy(X[None], Y, exit_weight="x"), ValueError, "linear"),
        (lambda: am.early_exit_cross_entropy(X[None], Y, exit_weight=Y * 1.0), ValueError, "(1,)"),
        (lambda: am.losses.prompt_tuning_nll(X, Y, num_prompt=1), ValueError, "num_prompt is 1"),
        (
            lambda: am.losses.sample_weighted_cross_entropy(X, Y, X),
            ValueError,
            "one an example fits",
        ),
    ],
)
def test_errors_say_what_came_and_what_fits(call, error, said):
    with pytest.raises(error, match=re.escape(said)):
        call()


@pytest.mark.parametrize("label", [-100, -1, 7])
@pytest.mark.parametrize("form", [am.cross_entropy, am.poly_loss, am.sparsemax_loss, am.z_loss])
def test_the_label_of_a_dropped_example_may_be_anything(form, label):
    """A where of shape (..., 1) drops examples, and padding has labels that are no class."""
    x, y = np.asarray([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]), np.asarray([2, label])
    keep = np.asarray([[True], [False]])
    value, slope = am.value_and_grad(lambda x: form(x, y, where=keep))(x)
    np.testing.assert_allclose(value, form(x[:1], y[:1]))
    assert not slope[1].any()
    with pytest.raises(IndexError, match="holds the label"):
        form(x, np.asarray([3, label]), where=keep)


@pytest.mark.parametrize("form", ["linear", "nested", "shards", "actions"])
def test_so_may_it_where_logits_are_formed_inside(form):
    w, keep = np.asarray([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]), np.asarray([[True], [False]])
    call = {
        "linear": lambda x, y, m: am.linear_cross_entropy(x, w, y, where=m),
        "nested": lambda x, y, m: am.nested_prefix_cross_entropy(x, w, y, widths=(1, 2), where=m),
        "shards": lambda x, y, m: am.vocab_parallel_cross_entropy((x, 2 * x), y, where=m),
        "actions": lambda x, y, m: am.losses.soft_q_loss(x, x[:, 0], action=y, where=m[:, 0]),
    }[form]
    x = np.asarray([[1.0, 2.0], [0.5, 0.0]])
    value, slope = am.value_and_grad(lambda x: call(x, np.asarray([1, 9]), keep))(x)
    np.testing.assert_allclose(value, call(x[:1], np.asarray([1]), keep[:1]))
    assert not slope[1].any()
    with pytest.raises(IndexError, match="holds the label 9"):
        call(x, np.asarray([1, 9]), keep | True)


def test_ignore_index_is_offered_where_there_is_one():
    with pytest.raises(IndexError, match="0 to 2 fit, and ignore_index"):
        am.nll_loss(np.zeros((1, 3)), np.asarray([3]))
    with pytest.raises(IndexError, match=r"0 to 2 fit$"):
        am.poly_loss(np.zeros((1, 3)), np.asarray([3]))
