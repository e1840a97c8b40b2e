"""Entmax of order 1.5."""

import numpy as np

import anymax as am
from anymax._conformance.by_rows import by_rows, spared
from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
    sums_to_one,
)
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)

CASES = [
    *map(spared, row_cases()),
    Case("dense", (1e-3 * logits(3, 1000),), wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
]


def _by_sorting(z):
    """The largest rho of which the threshold leaves rho cells alive, by sums of centred squares."""
    s = np.sort(z / 2, axis=-1)[:, ::-1]
    tau = np.zeros((z.shape[0], 1), z.dtype)
    for rho in range(1, z.shape[-1] + 1):
        head = s[:, :rho]
        fine = head[:, -1:] > -np.inf
        head = np.where(fine, head, 0)
        mean = np.mean(head, axis=-1, keepdims=True)
        spread = np.sum((head - mean) ** 2, axis=-1, keepdims=True)
        t = mean - np.sqrt(np.maximum(1 - spread, 0) / rho)
        tau = np.where(fine & (spread <= 1) & (t <= head[:, -1:]), t, tau)
    return np.maximum(z / 2 - tau, 0) ** 2


def ORACLE(x, *, axis=-1, where=None):
    return by_rows(x, axis, where, _by_sorting)


def _is_entmax(form, case):
    return form(*case.args, **case.options), am.entmax(*case.args, alpha=1.5, **case.options)


IDENTITIES = (sums_to_one, shift_invariant, permutation_equivariant, selected_classes, _is_entmax)


def GOLDEN(load):
    for name in ("small", "ties", "mid", "onelong"):
        z = load(f"classic-entmax__{name}")
        yield Golden(
            Case(name, (z["in_logits"],)), z["out_entmax15"], z["in_cotangent"],
            {0: z["out_vjp_entmax15"]}, rtol=4e-12,
        )  # fmt: skip
