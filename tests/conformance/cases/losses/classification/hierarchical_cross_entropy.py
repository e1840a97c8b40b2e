"""`hierarchical_cross_entropy`: cross entropies of the heads of a class hierarchy."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, log_softmax, reduced
from anymax.testing import Case, logits

_SIZES = (2, 3, 5)
_X = tuple(logits(6, c, seed=c) for c in _SIZES)
_LEVEL = np.asarray([0, 2, 1, 1, 2, 0])
_Y = np.asarray([1, 4, 0, -100, 2, 0])
_ALL = np.asarray(
    [[0, 1, -100], [1, 2, 3], [-100, -100, 0], [0, -100, 4], [-100] * 3, [1, 0, -100]]
)
_EDGES = tuple(x.copy() for x in _X)
_EDGES[0][0, 0], _EDGES[0][1, 0], _EDGES[1][2] = -np.inf, -np.inf, [np.nan, 1.0, 2.0]
_EDGES[2][2, 4], _EDGES[1][0, 0], _EDGES[2][3] = np.nan, np.inf, -np.inf
_WEIGHT = tuple(np.linspace(0.5, 1.5, c) for c in _SIZES)
_ALL_SLOTS = ((0, 0), (0, 1), (0, 2))

CASES = [
    Case("edges", (_EDGES, _ALL), {"reduction": "none"}, compiled=True),
    Case("levels", (_X, _Y), {"level": _LEVEL}, smooth=True, compiled=True),
    Case("all", (_X, _ALL), smooth=True),
    Case("weighted", (_X, _ALL), {"weight": _WEIGHT}, smooth=True,
         wrt=(*_ALL_SLOTS, ("weight", 0), ("weight", 2))),
    Case("one_level", (_X[1:2], _Y % 3), {"level": 0 * _LEVEL, "ignore_index": 0}, smooth=True),
    Case("none", (_X, np.full((6, 3), -100)), {"reduction": "sum"}),
]  # fmt: skip
INTEGERS = ()


def _cost(z, t, lost):
    return np.inf if lost else -np.sum(t * log_softmax(z))


def ORACLE(logits, target, *, level=None, weight=None, ignore_index=-100, reduction="mean"):
    if level is not None:
        here = level[:, None] == np.arange(len(logits))
        target = np.where(here, target[:, None], ignore_index)
    total = np.zeros(len(target), np.longdouble)
    live = np.zeros(len(target), bool)
    for h, x in enumerate(logits):
        options = {"ignore_index": ignore_index, "reduction": "none"}
        w = None if weight is None else weight[h]
        total = total + by_examples(_cost, x, target[:, h], weight=w, **options)
        live |= (target[:, h] != ignore_index) & (x != -np.inf).any(axis=-1)
    return reduced(total, reduction, live=live)


def DRAW(rng):
    n, *sizes = (int(c) for c in rng.integers(1, 5, size=rng.integers(2, 5)))
    x = tuple(rng.normal(size=(n, c)) for c in sizes)
    target = np.stack([rng.integers(0, c, size=n) for c in sizes], axis=-1)
    return Case("drawn", (x, np.where(rng.uniform(size=target.shape) < 0.3, -100, target)))


def _cross_entropy_of_one_level(form, case):
    if len(case.args[0]) > 1:
        return None
    (x,), y = case.args
    plain = am.cross_entropy(x, y, ignore_index=case.options["ignore_index"])
    return form(*case.args, **case.options), plain


IDENTITIES = (_cross_entropy_of_one_level,)
