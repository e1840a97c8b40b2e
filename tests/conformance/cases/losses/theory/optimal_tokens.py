"""`optimal_tokens`: the token that scores best with the head."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(5)
_X = _RNG.normal(size=(5, 4, 2))
_X[0, 1:] = _X[0, 1]  # ties
_X[1, 2, 0] = np.nan
_X[4, 0] = np.nan
_V, _Y = np.asarray([1.0, -0.5]), np.asarray([1.0, -1.0, 1.0, -1.0, 1.0])
_KEEP = np.ones((5, 4), bool)
_KEEP[2] = _KEEP[3, 0] = _KEEP[4, 0] = False

CASES = [
    Case("masked", (_X, _V, _Y), {"where": _KEEP}, wrt=(), compiled=True),
    Case("plain", (_X, _V, _Y > 0), wrt=()),
    Case("no_token", (_X[:, :0], _V, _Y), wrt=()),
]
INTEGERS = (0, 1, 2)


def ORACLE(x, v, target, *, where=None):
    sign = np.where(target, 1.0, -1.0) if target.dtype == bool else target
    keep = np.broadcast_to(True if where is None else where, x.shape[:-1])
    best = np.full(x.shape[:-2], -1)
    for row in np.ndindex(best.shape):
        top = -np.inf
        for t in range(x.shape[-2]):
            score = sign[row] * (x[row][t] @ v)
            score = np.inf if np.isnan(score) else score
            if keep[row][t] and score > top:
                best[row], top = t, score
    return best


def DRAW(rng):
    n, t, d = rng.integers(1, 5, size=3)
    y = rng.choice([-1.0, 1.0], size=n)
    return Case("random", (rng.normal(size=(n, t, d)), rng.normal(size=d), y), wrt=())
