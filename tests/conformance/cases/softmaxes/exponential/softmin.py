"""`softmin`: softmin: softmax of the negated logits, so that +inf is what masks."""

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, shift_invariant, sums_to_one
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=4).reshape(2, 3, 4)

CASES = [
    *(case.mapped(lambda _, x: -x if x.dtype.kind == "f" else x) for case in row_cases()),
    Case("warm", (_X,), {"temperature": 2.0}, smooth=True),
    Case(
        "temperatures", (_X,), {"temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, "temperature"), smooth=True,
    ),
    Case("all_axes", (_X,), {"axis": None}),
]  # fmt: skip


def ORACLE(x, *, axis=-1, where=None, temperature=1.0):
    keep = (x != np.inf) & (True if where is None else where)
    x = np.where(keep, x, 0) / temperature
    axis = tuple(range(x.ndim)) if axis is None else axis
    if x.ndim == 0:
        return np.ones(())
    low = np.min(x, axis=axis, keepdims=True, where=keep, initial=np.inf)
    e = np.where(keep, np.exp(np.where(keep, low - x, 0)), 0)
    s = np.sum(e, axis=axis, keepdims=True)
    return np.where(keep, e / np.where(s == 0, 1, s), 0)


def _is_softmax_of_the_negative(form, case):
    return form(*case.args, **case.options), am.softmax(-case.args[0], **case.options)


IDENTITIES = (
    sums_to_one,
    shift_invariant,
    permutation_equivariant,
    _is_softmax_of_the_negative,
)
