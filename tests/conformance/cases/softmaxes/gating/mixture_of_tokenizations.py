"""`mixture_of_tokenizations`: weighted sum of the best encodings."""

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case, logits

_RNG = np.random.default_rng(22)
_S, _Z = logits(6, 4, seed=3).reshape(2, 3, 4), _RNG.normal(size=(2, 3, 4, 5))
_EDGES = np.asarray(
    [
        [0.5, 2.0, -1.0, 1.0],
        [1.0, 1.0, 1.0, 1.0],
        [-np.inf, 2.0, -np.inf, -np.inf],
        [-np.inf] * 4,
        [np.nan, 0.0, -1.0, 2.0],
    ]
)
_CANDIDATES = _RNG.normal(size=(5, 4, 2))
_CANDIDATES[0, 2] = np.nan  # not chosen
_CANDIDATES[1, 0, 1] = np.nan
_KEEP = np.asarray([[True, False, True, True]] * 5)

CASES = [
    Case("edges", (_EDGES, _CANDIDATES), compiled=True, condition=4.0),
    Case("masked", (_EDGES, _CANDIDATES), {"where": _KEEP}, wrt=(), compiled=True, condition=4.0),
    Case("smooth", (_S, _Z), smooth=True, condition=64.0),
    Case("one", (_S, _Z), {"k": 1}, condition=4.0),
    Case("all", (_S, _Z), {"k": 9}, condition=64.0),
    Case("row", (_S[0, 0], _Z[0, 0]), condition=64.0),
    Case("no_encoding", (np.zeros((2, 0)), np.zeros((2, 0, 3)))),
]
INTEGERS = (0, 1)


def ORACLE(scores, candidates, *, k=2, where=None):
    keep = taking_part(scores, where)
    key = np.where(keep, np.where(np.isnan(scores), np.inf, scores), -np.inf)
    rank = np.argsort(np.argsort(-key, axis=-1, kind="stable"), axis=-1, kind="stable")
    chosen = keep & (rank < k)
    g = weights(scores, chosen)[..., None]
    return np.sum(np.where(chosen[..., None], g * candidates, 0), axis=-2)


def DRAW(rng):
    n, e, d = rng.integers(1, 5, size=3)
    return Case("drawn", (rng.normal(size=(n, e)), 1 + rng.uniform(size=(n, e, d))), condition=8.0)
