"""Normmax: the norm of order alpha in the place of an entropy."""

import numpy as np

import anymax as am
from anymax._conformance.by_rows import bisected, by_rows, spared
from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
    sums_to_one,
)
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_ALPHA = np.asarray([[[1.25], [1.5], [2.0]], [[1.125], [1.75], [1.375]]])


def _off_the_kink(case):
    """Logits a whole 1 apart sit on the edge of the support, where there is no derivative."""
    return case.mapped(lambda _, x: 0.75 * x if x.dtype.kind == "f" else x)


CASES = [
    *(spared(_off_the_kink(case)) for case in row_cases()),
    Case("orders", (_X,), {"alpha": _ALPHA}, wrt=(0, "alpha"), smooth=True, compiled=True),
    Case("low", (_X,), {"alpha": 1.25}, smooth=True),
    Case("flat", (logits(4, 9, seed=4),), {"alpha": 3.0}, wrt=(), condition=1e3),
    Case("two_axes", (_X,), {"axis": (0, -1), "alpha": 1.75}, smooth=True),
]


def _weights(z, alpha):
    a = np.asarray(alpha, z.dtype)
    one = np.ones((z.shape[0], 1), z.dtype)

    def residual(tau):
        return np.sum(np.maximum(z - tau, 0) ** (a / (a - 1)), axis=-1, keepdims=True) - 1

    above = np.maximum(z - bisected(residual, -one, 0 * one), 0)
    p = above ** (1 / (a - 1))
    return p / np.sum(p, axis=-1, keepdims=True)


def ORACLE(x, *, alpha=2.0, axis=-1, where=None):
    return by_rows(x, axis, where, _weights, alpha)


def _is_a_power_of_entmax(form, case):
    """Proportional to the entmax of order 2 - 1/alpha, of logits times alpha / (alpha - 1)."""
    options = {k: v for k, v in case.options.items() if k != "alpha"}
    alpha = case.options.get("alpha", 2.0)
    if np.ndim(alpha) or not np.isfinite(case.args[0]).all():
        return None
    scaled = case.args[0] * (alpha / (alpha - 1.0))
    r = am.entmax(scaled, alpha=2.0 - 1.0 / alpha, **options) ** (1.0 / alpha)
    axis = options.get("axis", -1) if case.args[0].ndim else ()
    p = np.asarray(form(*case.args, **case.options))
    return np.where(p > 1e-6, r / np.maximum(np.sum(r, axis=axis, keepdims=True), 1e-300), p), p


IDENTITIES = (
    sums_to_one, shift_invariant, permutation_equivariant, selected_classes, _is_a_power_of_entmax,
)  # fmt: skip


def GOLDEN(load):
    for name in ("small", "ties", "mid", "onelong"):
        z = load(f"classic-entmax__{name}")
        yield Golden(
            Case(name, (z["in_logits"],)), z["out_normmax_bisect_a2"], z["in_cotangent"],
            {0: z["out_vjp_normmax_bisect_a2"]}, rtol=1e-12,
        )  # fmt: skip
