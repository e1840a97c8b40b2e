"""`log_taylor_softmax`: logarithm of the Taylor softmax."""

import math

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, selected_classes
from anymax._conformance.weights import log_weights
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

    return log_weights(log_t, x, axis, where)


def _exponential_is_taylor_softmax(form, case):
    return np.exp(form(*case.args, **case.options)), am.taylor_softmax(*case.args, **case.options)


IDENTITIES = (permutation_equivariant, selected_classes, _exponential_is_taylor_softmax)


def GOLDEN(load):
    """CoinCheung/pytorch-loss, taylor_softmax_v1, and the gradient of every row's first class."""
    for name in ("small", "large"):
        z = load(f"z-loss__taylor_softmax_{name}")
        first = np.zeros_like(z["in_logits"])
        first[:, 0] = 1.0
        for order in (2, 4, 6):
            yield Golden(
                Case(f"{name}_{order}", (z["in_logits"],), {"order": order}),
                z[f"out_logp{order}"], first, {0: z[f"out_grad_logp{order}_class0"]}, rtol=1e-12,
            )  # fmt: skip
