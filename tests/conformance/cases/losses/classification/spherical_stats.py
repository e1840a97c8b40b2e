"""`spherical_stats`: sum of squares and sum."""

import numpy as np

from anymax._conformance.oracles import axes, taking_part
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_X = logits(6, 5, seed=8).reshape(2, 3, 5)

CASES = [
    Case("edges", (_EDGES,), compiled=True),
    Case("masked", (_EDGES,), {"where": _WHERE}, compiled=True),
    Case("smooth", (_X,), {"where": np.arange(5) != 1}, smooth=True, condition=8.0),
    Case("two_axes", (_X,), {"axis": (0, -1)}, condition=8.0),
    Case("all_axes", (_X,), {"axis": None}, condition=8.0),
    Case("scalar", (np.asarray(0.75),)),
    Case("no_class", (np.zeros((3, 0)),)),
]


def ORACLE(x, *, axis=-1, where=None):
    y = np.where(taking_part(x, where), x, 0)
    return np.sum(y**2, axis=axes(x, axis)), np.sum(y, axis=axes(x, axis))
