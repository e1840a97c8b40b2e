"""Sparsemax: projection of the logits onto the simplex."""

import numpy as np

import anymax as am
from anymax._conformance.by_rows import by_rows
from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
    sums_to_one,
)
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)


def _off_the_kink(case):
    """Logits a whole 1 apart sit on the edge of the support, where there is no derivative."""
    return case.mapped(lambda _, x: 0.75 * x if x.dtype.kind == "f" else x)


CASES = [
    *map(_off_the_kink, row_cases()),
    Case("on_the_kink", (np.asarray([[1.0, 0.0, 0.0], [2.0, 2.0, 1.5]]),), wrt=()),
    Case("dense", (1e-3 * logits(3, 1000),), wrt=(), condition=8.0),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
]


def _projected(z):
    s = np.sort(z, axis=-1)[:, ::-1]
    total = np.cumsum(np.where(s > -np.inf, s, 0), axis=-1)
    j = np.arange(1, z.shape[-1] + 1)
    rho = np.sum((s > -np.inf) & (1 + j * s > total), axis=-1, keepdims=True)
    tau = (np.take_along_axis(total, rho - 1, axis=-1) - 1) / rho
    return np.maximum(z - tau, 0)


def ORACLE(x, *, axis=-1, where=None):
    return by_rows(x, axis, where, _projected)


def _is_entmax_2(form, case):
    return form(*case.args, **case.options), am.entmax(*case.args, alpha=2.0, **case.options)


def _is_budget_1(form, case):
    return form(*case.args, **case.options), am.budget_sparsemax(
        *case.args, budget=1.0, **case.options
    )


IDENTITIES = (
    sums_to_one, shift_invariant, permutation_equivariant, selected_classes, _is_entmax_2,
    _is_budget_1,
)  # fmt: skip


def GOLDEN(load):
    for name in ("small", "ties", "mid", "onelong"):
        z = load(f"classic-entmax__{name}")
        yield Golden(
            Case(name, (z["in_logits"],)), z["out_sparsemax"], z["in_cotangent"],
            {0: z["out_vjp_sparsemax"]},
        )  # fmt: skip
