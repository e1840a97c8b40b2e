"""`softmax_label_embedding`: the expected embedding of the label."""

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case, logits

_RNG = np.random.default_rng(26)
_X, _W = logits(5, 4, seed=43), _RNG.normal(size=(4, 3))
_EDGES, _BAD = _X.copy(), _W.copy()
_EDGES[:4, 1] = -np.inf  # the last row sees the bad label
_BAD[1] = np.nan
_EDGES[1] = -np.inf
_EDGES[2, 0] = np.nan
_EDGES[3] *= 512.0

CASES = [
    Case("edges", (_EDGES, _BAD), wrt=(0,), compiled=True, condition=16.0),
    Case("smooth", (_X, _W), smooth=True, condition=16.0),
    Case(
        "cool", (_X, _W), {"temperature": np.full((5, 1), 0.5)}, wrt=(0, 1, "temperature"),
        smooth=True, condition=64.0,
    ),
    Case("one_row", (_X[0], _W), {"temperature": 2.0}, condition=16.0),
    Case("one_class", (_X[:, :1], _W[:1])),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(logits, w, *, temperature=1.0):
    keep = taking_part(logits)
    p = weights(np.where(keep, logits / temperature, -np.inf), keep)
    y = p @ np.where(np.isfinite(w), w, 0)
    bad = ~np.isfinite(w).all(-1)
    return np.where((keep & bad).any(-1)[..., None], np.nan, y)


def DRAW(rng):
    n, c, d = rng.integers(1, 5, size=3)
    return Case("random", (rng.normal(size=(n, c)), rng.normal(size=(c, d))), condition=1e3)
