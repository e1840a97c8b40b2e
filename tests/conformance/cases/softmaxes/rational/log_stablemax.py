"""Logarithm of StableMax."""

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, selected_classes
from anymax._conformance.weights import log_weights
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
]


def ORACLE(x, *, axis=-1, where=None):
    return log_weights(
        lambda x: np.log(np.where(x >= 0, 1 + x, 1 / (1 + np.abs(x)))), x, axis, where
    )


def _log_softmax_of_transformed_logits(form, case):
    x = case.args[0]
    if not np.isfinite(x).all():
        return None
    return form(x, **case.options), am.log_softmax(np.sign(x) * np.log1p(np.abs(x)), **case.options)


IDENTITIES = (permutation_equivariant, selected_classes, _log_softmax_of_transformed_logits)


def GOLDEN(load):
    """The authors' utils.py, float64: the mean loss is minus the mean of the labels' logarithms."""
    for name in ("small", "large"):
        z = load(f"grokking-edge__stablemax_{name}")
        x, labels = z["in_logits"], z["in_labels"]
        mean = np.where(np.arange(x.shape[-1]) == labels[:, None], -1.0 / len(labels), 0.0)
        yield Golden(Case(name, (x,)), z["out_log_stablemax"], mean, {0: z["out_grad_logits"]})
