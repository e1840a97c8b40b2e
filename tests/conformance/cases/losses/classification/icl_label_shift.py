"""`icl_label_shift`: a step of the parameters as a shift of the target."""

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case

_RNG = np.random.default_rng(22)
_A, _X, _Y = (_RNG.normal(size=s) for s in ((2, 5, 3), (2, 3), (2, 3)))
_B = _RNG.dirichlet(np.ones(5), size=2)

CASES = [
    Case("batch", (_A, _X, _Y, _B), compiled=True, smooth=True, condition=64.0),
    Case("one_row", (_A[0, :1], _X[0], _Y[0], np.ones(1))),
    Case("no_row", (_A[:, :0], _X, _Y, _B[:, :0])),
]
INTEGERS = (0, 1, 2, 3)


def ORACLE(a, x_old, x_new, b):
    old, new = (
        weights(z, taking_part(z))
        for z in (np.sum(a * x[..., None, :], -1) for x in (x_old, x_new))
    )
    return b - new + old


def same_loss(form, case):
    from anymax import softmax_regression_loss

    a, x_old, x_new, b = case.args
    shifted = softmax_regression_loss(a, x_old, form(a, x_old, x_new, b))
    return shifted, softmax_regression_loss(a, x_new, b)


def DRAW(rng):
    n, d = rng.integers(1, 5, size=2)
    a, x, y, b = (rng.normal(size=s) for s in ((n, d), (d,), (d,), (n,)))
    return Case("random", (a, x, y, b), condition=1e4)


IDENTITIES = (same_loss,)
