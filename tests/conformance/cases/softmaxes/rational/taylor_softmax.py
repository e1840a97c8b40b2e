"""Taylor softmax: polynomials in the place of exponentials."""

import math

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, selected_classes, sums_to_one
from anymax._conformance.weights import weights
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_LOWEST = np.asarray([[-1.0, -1.5961, -2.1806, -2.75], [-2.0, -3.0, -4.0, 0.0]])

CASES = [
    *row_cases(),
    Case("fourth", (_X,), {"order": 4}, smooth=True, compiled=True),
    Case("sixth", (_X,), {"order": 6}, smooth=True),
    Case("eighth", (_X,), {"order": 8}, smooth=True),
    *(Case(f"lowest_{m}", (_LOWEST,), {"order": m}, smooth=True) for m in (2, 4, 6)),
    Case("huge", (np.asarray([[2.0**14, -(2.0**15), 1.0]]),), {"order": 6}, wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1), "order": 6}, smooth=True),
    Case("all_axes", (_X,), {"axis": None}),
]


def ORACLE(x, *, order=2, axis=-1, where=None):
    def log_t(x):
        return np.log(sum(x**k / x.dtype.type(math.factorial(k)) for k in range(order + 1)))

    return weights(log_t, x, axis, where)


def _second_order_mirrors_at_minus_one(form, case):
    """((x + 1)^2 + 1) / 2: -1 - t and -1 + t tie."""
    if case.options.get("order", 2) != 2:
        return None
    x = case.args[0]
    return form(np.where(np.isinf(x), x, -2.0 - x), **case.options), form(x, **case.options)


def _tends_to_softmax(form, case):
    """Near 0 a high order is the exponential."""
    x = np.tanh(case.args[0])
    if not np.isfinite(x).all() or "order" in case.options:
        return None
    return form(x, order=18, **case.options), am.softmax(x, **case.options)


IDENTITIES = (
    sums_to_one,
    permutation_equivariant,
    selected_classes,
    _second_order_mirrors_at_minus_one,
    _tends_to_softmax,
)


def GOLDEN(load):
    """CoinCheung/pytorch-loss, taylor_softmax_v1: sums of powers, exact to their cancellation."""
    for name in ("small", "large"):
        z = load(f"z-loss__taylor_softmax_{name}")
        for order in (2, 4, 6):
            case = Case(f"{name}_{order}", (z["in_logits"],), {"order": order})
            yield Golden(case, z[f"out_p{order}"], rtol=1e-12)
