"""Entmax of any order, one or one a row."""

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
_ALPHA = np.asarray([[[1.25], [1.5], [2.0]], [[1.125], [1.75], [3.0]]])

CASES = [
    *(spared(case.with_(case.name, alpha=1.25)) for case in row_cases()),
    Case("default", (_X,), smooth=True),
    Case("softmax", (_X,), {"alpha": 1.0}, smooth=True),
    Case("flat", (logits(4, 9, seed=4),), {"alpha": 3.0}, wrt=(), condition=1e3),
    Case("orders", (_X,), {"alpha": _ALPHA}, wrt=(0, "alpha"), smooth=True, compiled=True),
    Case("order_1", (_X,), {"alpha": np.ones((1, 1, 1))}, wrt=(0,), smooth=True),
    Case("two_axes", (_X,), {"axis": (0, -1), "alpha": 1.75}, smooth=True),
]


def _weights(z, alpha):
    d = np.asarray(alpha, z.dtype) - 1
    n = np.sum(z > -np.inf, axis=-1, keepdims=True).astype(z.dtype)
    soft = np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True)
    safe = np.where(d == 0, 1, d)

    def p(tau):
        return np.maximum(safe * z - tau, 0) ** (1 / safe)

    tau = bisected(lambda t: np.sum(p(t), axis=-1, keepdims=True) - 1, -1 + 0 * n, -(n**-safe))
    return np.where(d == 0, soft, p(tau))


def ORACLE(x, *, alpha=1.5, axis=-1, where=None):
    return by_rows(x, axis, where, _weights, alpha)


def _sparser_with_alpha(form, case):
    """A larger order has no more cells alive."""
    if "alpha" not in case.options or np.ndim(case.options["alpha"]):
        return None
    options = {**case.options, "alpha": case.options["alpha"] + 0.5}
    alive, fewer = form(*case.args, **case.options) > 0, form(*case.args, **options) > 0
    return np.sum(alive & fewer, axis=-1), np.sum(fewer, axis=-1)


IDENTITIES = (
    sums_to_one, shift_invariant, permutation_equivariant, selected_classes, _sparser_with_alpha,
)  # fmt: skip


def GOLDEN(load):
    for name in ("small", "ties", "mid", "onelong"):
        z = load(f"classic-entmax__{name}")
        x, g = z["in_logits"], z["in_cotangent"]
        for alpha in (1.25, 1.5, 2.0, 4.0):
            key = f"entmax_bisect_a{alpha:g}".replace(".", "p")
            case = Case(f"{name}_{alpha}", (x,), {"alpha": alpha})
            # past 2 the slope p**(2 - alpha) is steep at the edge of the support: the official
            # bisection and ours differ there by 1e-10 of the gradient
            rtol = 2e-11 if alpha <= 2.0 else 1e-9
            yield Golden(case, z[f"out_{key}"], g, {0: z[f"out_vjp_{key}"]}, rtol=rtol)
        case = Case(
            f"{name}_rows", (x,), {"alpha": z["in_alpha_rows"]}, wrt=(0, "alpha"),
        )  # fmt: skip
        gradients = {0: z["out_vjp_x_alpha_rows"], "alpha": z["out_vjp_alpha_rows"]}
        yield Golden(case, z["out_entmax_alpha_rows"], g, gradients, rtol=1e-11)


def _softmax_at_1(form, case):
    options = {k: v for k, v in case.options.items() if k != "alpha"}
    return form(*case.args, **{**options, "alpha": 1.0}), am.softmax(*case.args, **options)


IDENTITIES += (_softmax_at_1,)
