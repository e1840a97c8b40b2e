"""`budget_sparsemax`: budget sparsemax: projection onto weights in [0, 1] with a given sum."""

import numpy as np

from anymax._conformance.by_rows import bisected, by_rows, spared, untied
from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
)
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_BUDGET = np.asarray([[[1.0], [1.75], [2.5]], [[0.75], [3.25], [2.0]]])


def _moved(case):
    """Off the kinks, where a weight just leaves 0 or 1."""
    return case.mapped(lambda _, x: 0.8125 * untied(x) if x.dtype.kind == "f" else x)


CASES = [
    *(spared(_moved(case).with_(case.name, budget=1.75)) for case in row_cases()),
    Case("ties", (np.asarray([[1.0, 1.0, 1.0, 1.0], [0.0, 3.0, 3.0, -4.0]]),), {"budget": 2.0}),
    Case("saturated", (_X,), {"budget": 4.0}),
    Case("nothing", (_X,), {"budget": 0.0}),
    Case("budgets", (_X,), {"budget": _BUDGET}, wrt=(0, "budget"), smooth=True, compiled=True),
    Case("many", (logits(5, 700),), {"budget": 123.5}, wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1), "budget": 3.0}, smooth=True),
]


def _weights(z, budget):
    live = z > -np.inf
    low = np.min(np.where(live, z, 0), axis=-1, keepdims=True)
    budget = np.broadcast_to(np.asarray(budget, z.dtype), low.shape)

    def residual(tau):
        return np.sum(np.clip(z - tau, 0, 1), axis=-1, keepdims=True) - budget

    p = np.clip(z - bisected(residual, low - 1, 0 * low), 0, 1)
    p = np.where(budget >= np.sum(live, axis=-1, keepdims=True), 1, p)
    return np.where(budget <= 0, 0, p)


def ORACLE(x, *, budget, axis=-1, where=None):
    return by_rows(x, axis, where, _weights, budget)


def DRAW(rng):
    shape = (*rng.integers(1, 4, rng.integers(0, 3)), int(rng.integers(1, 7)))
    x = np.rint(rng.normal(size=shape) * 4) / 4
    return Case("drawn", (x,), {"budget": float(rng.integers(0, 25)) / 4})


def _sums_to_the_budget(form, case):
    x, where, axis = case.args[0], case.options.get("where", True), case.options.get("axis", -1)
    if not np.isfinite(x).all() or x.ndim == 0:
        return None
    p = form(*case.args, **case.options)
    n = np.sum(np.broadcast_to(where, x.shape), axis=axis, keepdims=True)
    wanted = np.minimum(case.options["budget"], n)
    return np.sum(p, axis=axis, keepdims=True), wanted + 0 * n


IDENTITIES = (shift_invariant, permutation_equivariant, selected_classes, _sums_to_the_budget)
