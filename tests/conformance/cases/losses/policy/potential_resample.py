"""`potential_resample`: indices drawn by weights and uniform numbers."""

import numpy as np

from anymax.testing import Case

_W = np.asarray(
    [[0.25, 0.5, 0.0, 0.25], [0.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [np.nan, 1.0, -1.0, 3.0]]
)
_U = np.asarray([0.0, 0.125, 0.375, 0.6875, 0.8125, 0.96875])
_UNIFORM = np.tile(_U, (4, 1))

CASES = [
    Case("edges", (_W, _UNIFORM), wrt=(), compiled=True),
    Case("one", (_W[0], _U), wrt=()),
    Case("end", (_W[0], np.ones(2)), wrt=()),  # rounding may give 1
    Case("no_candidate", (_W[:, :0], _UNIFORM), wrt=()),
    Case("no_draw", (_W, _UNIFORM[:, :0]), wrt=()),
]
INTEGERS = (0, 1)


def ORACLE(weights, uniform):
    y = np.full(uniform.shape, -1)
    for place in np.ndindex(uniform.shape):
        w = weights[place[:-1]]
        w = np.where(w > 0, w, 0)
        goal, total = uniform[place] * np.sum(w), np.longdouble(0)
        for i in np.flatnonzero(w):
            y[place], total = i, total + w[i]
            if total > goal:
                break
    return y


def DRAW(rng):
    n, s = rng.integers(1, 6, size=2)
    args = rng.integers(0, 4, size=n).astype(float), rng.integers(0, 64, size=s) / 64
    return Case("random", args, wrt=())
