"""`log_soft_top_k`: log soft top-k: logarithms of sigmoids that sum to k."""

import numpy as np

import anymax as am
from anymax._conformance.by_rows import bisected, by_rows, spared
from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
)
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_K = np.asarray([[[1.0], [1.75], [2.5]], [[0.75], [3.25], [2.0]]])
_ALPHA = np.asarray([[[1.0]], [[0.5]]])

CASES = [
    *(spared(case.with_(case.name, k=1.75)) for case in row_cases()),
    Case("steep", (_X,), {"k": 2.5, "alpha": 4.0}, smooth=True),
    Case("saturated", (_X,), {"k": 4}),
    Case("nothing", (_X,), {"k": 0}),
    Case("counts", (_X,), {"k": _K}, wrt=(0, "k"), smooth=True, compiled=True),
    Case("slopes", (_X,), {"k": _K, "alpha": _ALPHA}, wrt=(0, "k", "alpha"), smooth=True),
    Case("many", (logits(5, 700),), {"k": 123.5}, wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1), "k": 3}, smooth=True),
]


def _weights(z, k, alpha):
    z = z * np.asarray(alpha, z.dtype)
    live = z > -np.inf
    n = np.sum(live, axis=-1, keepdims=True)
    low = np.min(np.where(live, z, 0), axis=-1, keepdims=True)
    k = np.broadcast_to(np.asarray(k, z.dtype), low.shape)
    inside = (k > 0) & (k < n)
    goal = np.where(inside, k, n / 2)

    def residual(tau):
        u = z - tau
        high, e = live & (u >= 0), np.exp(-np.abs(u))
        rest = np.where(high, -e, e) / (1 + e)
        return (np.sum(high, axis=-1, keepdims=True) - goal) + np.sum(rest, -1, keepdims=True)

    u = z - bisected(residual, low - 60, 60 - 0 * low)
    y = np.minimum(u, 0) - np.log1p(np.exp(-np.abs(u)))
    return np.where(inside, y, np.where(k > 0, 0, -np.inf))


def ORACLE(x, *, k, alpha=1.0, axis=-1, where=None):
    return by_rows(x, axis, where, _weights, k, alpha, low=-np.inf)


def DRAW(rng):
    shape = (*rng.integers(1, 4, rng.integers(0, 3)), int(rng.integers(1, 7)))
    x = rng.normal(size=shape) * rng.choice([1.0, 8.0])
    return Case("drawn", (x,), {"k": float(rng.integers(0, 25)) / 4, "alpha": 2.0})


def _exponential_is_soft_top_k(form, case):
    return np.exp(form(*case.args, **case.options)), am.soft_top_k(*case.args, **case.options)


IDENTITIES = (
    shift_invariant, permutation_equivariant, selected_classes, _exponential_is_soft_top_k,
)  # fmt: skip


def GOLDEN(load):
    """Official code counts weights near 1 as 1, so its shift is arbitrary where scores are some
    hundreds apart (case 2)."""
    z = load("dexml__soft_topk")
    for i in (0, 1, 3):
        options = {"k": int(z[f"in_k_{i}"]), "alpha": float(z[f"in_alpha_{i}"])}
        yield Golden(
            Case(f"official_{i}", (z[f"in_x_{i}"],), options), z[f"out_log_soft_topk_{i}"],
            z[f"in_cotangent_{i}"], {0: z[f"out_log_vjp_{i}"]},
        )  # fmt: skip
