"""`spherical_softmax`: spherical softmax: squares over their sum."""

import numpy as np

from anymax._conformance.identities import permutation_equivariant, selected_classes, sums_to_one
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_ZEROS = np.asarray([[0.0, 0.0, 0.0], [0.0, -np.inf, 0.0], [0.0, 2.0, 0.0], [np.nan, 0.0, 1.0]])

CASES = [
    *row_cases(),
    Case("eps", (_X,), {"eps": 0.25}, smooth=True),
    Case("mostly_eps", (_X,), {"eps": 1e4}, smooth=True),
    Case("zeros", (_ZEROS,), wrt=()),
    Case("zeros_eps", (_ZEROS,), {"eps": 0.5}),
    Case("tiny", (np.asarray([[2.0**-13, -(2.0**-14), 0.0]]),), wrt=()),
    Case("huge", (np.asarray([[2.0**14, -(2.0**15), 1.0]]),), wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
    Case("all_axes", (_X,), {"axis": None}),
]


def ORACLE(x, *, eps=0.0, axis=-1, where=None):
    keep = np.broadcast_to((x != -np.inf) & (True if where is None else where), x.shape)
    axes = tuple(range(x.ndim)) if axis is None or x.ndim == 0 else axis
    s = np.where(keep, np.square(np.where(keep, x, 0)) + eps, 0)
    total = np.sum(s, axis=axes, keepdims=True)
    flat = (total == 0) & keep
    s = np.where(flat, 1, s)
    total = np.where(total == 0, np.sum(s, axis=axes, keepdims=True), total)
    total = np.where(np.isinf(total), np.nan, total)
    return np.where(keep, s / np.where(total == 0, 1, total), 0)


def _scale_and_sign_invariant(form, case):
    if case.options.get("eps", 0.0):
        return None
    x = case.args[0]
    x = np.where(np.isinf(x), x, -1.5 * x)
    return form(x, **case.options), form(*case.args, **case.options)


IDENTITIES = (sums_to_one, permutation_equivariant, selected_classes, _scale_and_sign_invariant)
