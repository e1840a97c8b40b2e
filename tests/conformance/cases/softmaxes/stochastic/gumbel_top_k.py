"""`gumbel_top_k`: gumbel top-k: indices of the k largest perturbed logits."""

import numpy as np

from anymax._conformance.oracles import taking_part
from anymax.testing import Case, logits, row_cases

_RNG = np.random.default_rng(7)
_X, _G = logits(6, 5, seed=3).reshape(2, 3, 5), _RNG.gumbel(size=(2, 3, 5))
_EDGES = row_cases()[0].args[0]
_NONE = np.zeros(_EDGES.shape)

CASES = [
    Case("edges", (_EDGES, _NONE), {"k": 3}, (), compiled=True),
    Case("masked", (_EDGES, _NONE), {"k": 3, **row_cases()[1].options}, ()),
    Case("batch", (_X, _G), {"k": 2}, ()),
    Case("all", (_X, _G), {"k": 5}, ()),
    Case("too_many", (_X, _G), {"k": 7}, ()),
    Case("ties", (np.zeros((2, 6)), np.zeros((2, 6))), {"k": 4}, ()),
    Case("row", (_X[0, 0], _G[0, 0]), {"k": 1}, ()),
    Case("no_class", (np.zeros((3, 0)), np.zeros((3, 0))), {"k": 2}, ()),
    Case("no_row", (np.zeros((0, 4)), np.zeros((0, 4))), {"k": 2}, ()),
]
INTEGERS = (0, 1)


def ORACLE(logits, gumbel, *, k, axis=-1, where=None):
    z = np.moveaxis(logits + gumbel, axis, -1)
    keep = np.moveaxis(taking_part(logits + gumbel, where), axis, -1)
    out = np.full((*z.shape[:-1], k), -1)
    for place in np.ndindex(z.shape[:-1]):
        row, live = z[place], keep[place]
        if not np.isnan(row[live]).any():
            best = sorted(np.flatnonzero(live), key=lambda i: (-row[i], i))[:k]
            out[place][: len(best)] = best
    return np.moveaxis(out, -1, axis)


def DRAW(rng):
    n, c = rng.integers(1, 6, size=2)
    x = np.rint(2 * rng.normal(size=(n, c)))
    return Case("drawn", (x, np.rint(rng.normal(size=(n, c)))), {"k": int(rng.integers(1, 7))})
