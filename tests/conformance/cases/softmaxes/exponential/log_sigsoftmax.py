"""`log_sigsoftmax`: log-sigsoftmax: x + log sigmoid(x) less its logsumexp."""

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, selected_classes
from anymax._conformance.weights import log_weights
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_SIGNS = np.asarray([[-100.0, -1.0, 0.0, 0.5, 90.0], [-1e4, -99.0, -98.5, -200.0, 0.0]])

CASES = [
    *row_cases(),
    Case("negative", (-60.0 - np.abs(_X),), smooth=True),
    Case("signs", (_SIGNS,)),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
]


def ORACLE(x, *, axis=-1, where=None):
    return log_weights(
        lambda x: x + np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))), x, axis, where
    )


def _exponential_is_sigsoftmax(form, case):
    return np.exp(form(*case.args, **case.options)), am.sigsoftmax(*case.args, **case.options)


IDENTITIES = (permutation_equivariant, selected_classes, _exponential_is_sigsoftmax)
