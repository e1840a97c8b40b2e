"""Losses of classifiers where official implementations go wrong, at their edges, and in errors."""

from __future__ import annotations

import numpy as np

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
