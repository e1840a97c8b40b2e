"""`soft_top_k`: soft top-k: sigmoids that sum to k."""

import numpy as np

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
    Case("steep", (_X,), {"k": 2, "alpha": 4.0}, smooth=True),
    Case("saturated", (_X,), {"k": 4}),
    Case("nothing", (_X,), {"k": 0}),
    Case("counts", (_X,), {"k": _K}, wrt=(0, "k"), smooth=True, compiled=True),
    Case("slopes", (_X,), {"k": _K, "alpha": _ALPHA}, wrt=(0, "k", "alpha"), smooth=True),
    Case("many", (logits(5, 700),), {"k": 123.5}, wrt=()),
    Case("far_apart", (100.0 * logits(3, 40),), {"k": 7.5, "alpha": 2.0}, wrt=(), condition=1e3),
    Case("two_axes", (_X,), {"axis": (0, -1), "k": 3}, smooth=True),
]


def _sigmoid(u):
    e = np.exp(-np.abs(u))
    return np.where(u >= 0, 1, e) / (1 + e)


def _threshold(z, k, alpha):
    """alpha z - tau, and whether k leaves weights of neither 0 nor 1 alone."""
    z = z * np.asarray(alpha, z.dtype)
    live = z > -np.inf
    n = np.sum(live, axis=-1, keepdims=True)
    low = np.min(np.where(live, z, 0), axis=-1, keepdims=True)
    k = np.broadcast_to(np.asarray(k, z.dtype), low.shape)
    inside = (k > 0) & (k < n)
    goal = np.where(inside, k, n / 2)

    def residual(tau):
        u = z - tau
        high = live & (u >= 0)
        rest = np.where(high, -_sigmoid(-u), _sigmoid(u))
        return (np.sum(high, axis=-1, keepdims=True) - goal) + np.sum(rest, -1, keepdims=True)

    return z - bisected(residual, low - 60, 60 - 0 * low), inside, k


def _weights(z, k, alpha):
    u, inside, k = _threshold(z, k, alpha)
    return np.where(inside, _sigmoid(u), np.where(k > 0, 1, 0))


def ORACLE(x, *, k, alpha=1.0, axis=-1, where=None):
    return by_rows(x, axis, where, _weights, k, alpha)


def DRAW(rng):
    shape = (*rng.integers(1, 4, rng.integers(0, 3)), int(rng.integers(1, 7)))
    x = rng.normal(size=shape) * rng.choice([1.0, 8.0])
    return Case("drawn", (x,), {"k": float(rng.integers(0, 25)) / 4, "alpha": 2.0})


def _sums_to_k(form, case):
    x, where, axis = case.args[0], case.options.get("where", True), case.options.get("axis", -1)
    if not np.isfinite(x).all() or x.ndim == 0:
        return None
    p = form(*case.args, **case.options)
    n = np.sum(np.broadcast_to(where, x.shape), axis=axis, keepdims=True)
    return np.sum(p, axis=axis, keepdims=True), np.minimum(case.options["k"], n) + 0 * n


IDENTITIES = (shift_invariant, permutation_equivariant, selected_classes, _sums_to_k)


def GOLDEN(load):
    z = load("dexml__soft_topk")
    for i in range(4):
        options = {"k": int(z[f"in_k_{i}"]), "alpha": float(z[f"in_alpha_{i}"])}
        yield Golden(
            Case(f"official_{i}", (z[f"in_x_{i}"],), options), z[f"out_soft_topk_{i}"],
            z[f"in_cotangent_{i}"], {0: z[f"out_vjp_{i}"]},
        )  # fmt: skip
