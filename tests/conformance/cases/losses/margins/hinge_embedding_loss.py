"""Cases of hinge_embedding_loss."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax._conformance.margins import drawn_signs, signed_cases

CASES = signed_cases()
DRAW = drawn_signs


def ORACLE(x, y, *, margin=1.0, where=None, weight=None, reduction="mean"):
    loss = np.where(y > 0, x, np.maximum(0.0, margin - x))
    if where is not None:
        loss = np.where(where, loss, 0.0)
    return reduced(loss, reduction, live=where, weight=weight)
