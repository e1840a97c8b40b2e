"""Losses of classifiers where official implementations go wrong, at their edges, and in errors."""

from __future__ import annotations

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
