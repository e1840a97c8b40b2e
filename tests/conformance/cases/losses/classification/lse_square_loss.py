"""Squared logsumexp: lse_square_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.oracles import logsumexp, taking_part
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_WEIGHT = np.asarray([1.0, 0.5, 0.0])
_ROWS = {"reduction": "none", "coeff": 0.25}

CASES = [
    Case("edges", (_EDGES,), _ROWS, compiled=True),
    Case("masked", (_EDGES,), {"where": _WHERE, **_ROWS}, compiled=True),
    Case("mean", (_X,), smooth=True),
    Case("weighted", (_X,), {"weight": _WEIGHT, "coeff": 1.0}, wrt=(0, "weight"), smooth=True),
    Case("dropped", (_X,), {"where": np.arange(6).reshape(2, 3, 1) % 2 == 0, "reduction": "sum"}),
    Case("no_row", (np.zeros((0, 4)),)),
]


def ORACLE(logits, *, axis=-1, where=None, weight=None, reduction="mean", coeff=1e-4):
    lse = logsumexp(logits, taking_part(logits, where), axis)
    live = lse != -np.inf
    square = np.longdouble(coeff) * np.where(live, lse, 0) ** 2
    return reduced(square, reduction, live=live, weight=weight)


def _part_of_cross_entropy(form, case):
    x, where = case.args[0], case.options.get("where")
    if not np.isfinite(x).all() or case.options.get("weight") is not None or not x.size:
        return None
    y = np.argmax(np.where(True if where is None else where, x, -np.inf), axis=-1)
    options = {"where": where, "reduction": case.options.get("reduction", "mean")}
    both = am.cross_entropy(x, y, lse_square_scale=1e-4, **options)
    return form(x, **options), both - am.cross_entropy(x, y, **options)


IDENTITIES = (_part_of_cross_entropy,)
