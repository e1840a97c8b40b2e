"""`sigsoftmax`: sigsoftmax: exponentials times sigmoids over their sum."""

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, selected_classes, sums_to_one
from anymax._conformance.weights import weights
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_SIGNS = np.asarray([[-100.0, -1.0, 0.0, 0.5, 90.0], [-1e4, -99.0, -98.5, -200.0, 0.0]])

CASES = [
    *row_cases(),
    Case("negative", (-60.0 - np.abs(_X),), smooth=True),
    Case("signs", (_SIGNS,)),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
    Case("all_axes", (_X,), {"axis": None}),
]


def log_s(x):
    """x + log sigmoid(x)."""
    return x + np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def ORACLE(x, *, axis=-1, where=None):
    return weights(log_s, x, axis, where)


def _softmax_of_transformed_logits(form, case):
    x = case.args[0]
    if not np.isfinite(x).all():
        return None
    return form(x, **case.options), am.softmax(log_s(x), **case.options)


def _large_logits_give_softmax(form, case):
    x = case.args[0]
    if not np.isfinite(x).all() or np.abs(x).max(initial=0.0) > 100.0:
        return None
    return form(x + 200.0, **case.options), am.softmax(x + 200.0, **case.options)


IDENTITIES = (
    sums_to_one,
    permutation_equivariant,
    selected_classes,
    _softmax_of_transformed_logits,
    _large_logits_give_softmax,
)
