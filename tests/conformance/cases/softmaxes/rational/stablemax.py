"""StableMax: 1 + x or 1 / (1 - x) over their sum."""

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, selected_classes, sums_to_one
from anymax._conformance.weights import weights
from anymax.testing import Case, Golden, logits, row_cases


def _apart(_, x):
    """Zeros moved away: the curvature jumps there, and differences see it."""
    return np.where(x == 0, 0.125, x) if x.dtype.kind == "f" else x


_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_ZEROS = np.asarray([[0.0, -0.0, 1.0], [0.0, -1.0, -2.0]])
_HUGE = np.asarray([[2.0**14, -(2.0**15), 1.0], [-(2.0**14), -(2.0**15), -1.0]])

CASES = [
    *(case.mapped(_apart) for case in row_cases()),
    Case("zeros", (_ZEROS,), wrt=()),
    Case("negative", (-10.0 - np.abs(_X),), smooth=True),
    Case("huge", (_HUGE,), wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
    Case("all_axes", (_X,), {"axis": None}),
]


def ORACLE(x, *, axis=-1, where=None):
    return weights(lambda x: np.log(np.where(x >= 0, 1 + x, 1 / (1 + np.abs(x)))), x, axis, where)


def _softmax_of_transformed_logits(form, case):
    x = case.args[0]
    if not np.isfinite(x).all():
        return None
    return form(x, **case.options), am.softmax(np.sign(x) * np.log1p(np.abs(x)), **case.options)


def _odds_of_opposites(form, case):
    """p(a) / p(-a) = (1 + a)^2 for the row [a, -a]."""
    x = case.args[0].reshape(-1)
    if not np.isfinite(x).all() or x.size == 0:
        return None
    a = np.abs(x)
    p = form(np.stack([a, -a], axis=-1))
    return p[:, 0] / p[:, 1] / (1.0 + a) ** 2, np.ones(a.shape)


IDENTITIES = (
    sums_to_one,
    permutation_equivariant,
    selected_classes,
    _softmax_of_transformed_logits,
    _odds_of_opposites,
)


def GOLDEN(load):
    """The authors' utils.py, float64."""
    for name in ("small", "large"):
        z = load(f"grokking-edge__stablemax_{name}")
        yield Golden(Case(name, (z["in_logits"],)), z["out_stablemax"])
