"""`softmax1`: softmax with a 1 in the denominator."""

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, selected_classes
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)

CASES = [
    *row_cases(),
    Case("negative", (-30.0 - np.abs(_X),), smooth=True),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
    Case("all_axes", (_X,), {"axis": None}),
]


def ORACLE(x, *, axis=-1, where=None):
    keep = np.broadcast_to((x != -np.inf) & (True if where is None else where), x.shape)
    axes = tuple(range(x.ndim)) if axis is None or not x.ndim else axis
    top = np.max(x, axis=axes, keepdims=True, where=keep, initial=0)
    e = np.where(keep, np.exp(np.where(keep, x, 0) - top), 0)
    return np.where(keep, e / (np.exp(-top) + np.sum(e, axis=axes, keepdims=True)), 0)


def _sink_of_zero(form, case):
    return form(*case.args, **case.options), am.sink_softmax(*case.args, **case.options)


def _sums_to_sigmoid_of_lse(form, case):
    x = case.args[0]
    if not np.isfinite(x).all() or x.ndim == 0:
        return None
    axis = case.options.get("axis", -1)
    lse = am.logsumexp(x, **case.options)
    with np.errstate(over="ignore"):
        return np.sum(form(x, **case.options), axis=axis), 1.0 / (1.0 + np.exp(-lse))


IDENTITIES = (
    permutation_equivariant,
    selected_classes,
    _sink_of_zero,
    _sums_to_sigmoid_of_lse,
)
