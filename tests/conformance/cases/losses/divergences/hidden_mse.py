"""`hidden_mse`: mean squared difference of hidden states."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax.testing import Case, logits

_A, _B = logits(6, 4, seed=1).reshape(2, 3, 4), logits(6, 4, seed=2).reshape(2, 3, 4)
_BAD = np.asarray([[np.nan, 1.0], [np.inf, 0.5], [3.0, 0.25]])

CASES = [
    Case("mean", (_A, _B), compiled=True, smooth=True),
    Case("layers", (_A, _B), {"coeff": 0.5, "reduction": "none"}, smooth=True),
    Case("bad", (_BAD, np.ones((3, 2))), {"reduction": "none"}, compiled=True),
    Case("sum", (_A[0], _B[0]), {"coeff": 1.0, "reduction": "sum"}),
    Case("flat", (_A[0, 0], _B[0, 0])),
    Case("no_layer", (np.zeros((0, 3)), np.zeros((0, 3)))),
    Case("no_feature", (np.zeros((3, 0)), np.zeros((3, 0))), {"reduction": "none"}),
]


def ORACLE(a, b, *, coeff=0.01, reduction="mean"):
    n = int(np.prod(a.shape[1:]))
    square = np.sum(((a - b) ** 2).reshape(a.shape[0], n), axis=-1) / max(n, 1)
    return reduced(coeff * square, reduction)
