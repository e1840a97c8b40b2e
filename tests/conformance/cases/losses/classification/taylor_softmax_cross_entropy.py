"""`taylor_softmax_cross_entropy`: surprise under the Taylor softmax."""

from math import factorial

import numpy as np

from anymax._conformance.examples import by_examples
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, Golden, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_SOFT = np.abs(logits(6, 5, seed=9)).reshape(2, 3, 5) / 8.0
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_ROWS = {"reduction": "none"}

CASES = [
    Case("edges", (_EDGES, _LABELS), _ROWS, compiled=True),
    Case("masked", (_EDGES, _LABELS), {"where": _WHERE, **_ROWS}, compiled=True),
    Case("mean", (_X, _Y), smooth=True),
    Case("weighted", (_X, _Y), {"order": 4, "weight": _WEIGHT}, wrt=(0, "weight"), smooth=True),
    Case("soft", (_X, _SOFT), {"order": 6}, wrt=(0, 1), smooth=True),
    Case("one_class", (logits(4, 1), np.zeros(4, int))),
    Case("classes_first", (np.moveaxis(_X, -1, 0), _Y), {"axis": 0}),
]


def _cost(z, t, lost, order):
    p = sum(z**i / factorial(i) for i in range(int(order) + 1))
    return np.inf if lost else -np.sum(t * (np.log(p) - np.log(np.sum(p))))


def ORACLE(logits, target, *, order=2, **options):
    return by_examples(_cost, logits, target, order, **options)


def _the_same_on_both_sides(form, case):
    """Of order 2, logits of -1 - t and -1 + t cost the same."""
    x, y = case.args
    if case.options.get("order", 2) != 2 or not np.isfinite(x).all():
        return None
    return form(-2.0 - x, y, **case.options), form(x, y, **case.options)


IDENTITIES = (_the_same_on_both_sides,)


def GOLDEN(load):
    """Third-party code: log-probabilities of class 0 and their gradients."""
    for name in ("small", "large"):
        z = load(f"z-loss__taylor_softmax_{name}")
        x = z["in_logits"]
        target = np.zeros(len(x), int)
        for n in (2, 4, 6):
            case = Case(f"{name}_{n}", (x, target), {"order": n, "reduction": "none"}, wrt=(0,))
            slope = {0: -z[f"out_grad_logp{n}_class0"]}
            yield Golden(case, -z[f"out_logp{n}"][:, 0], np.ones(len(x)), slope, rtol=1e-9)
