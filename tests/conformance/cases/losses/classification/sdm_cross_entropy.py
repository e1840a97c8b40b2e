"""`sdm_cross_entropy`: surprise under the SDM activation, to the base 2 + q."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, log_softmax
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, Golden, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_RNG = np.random.default_rng(46)
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_SOFT = np.abs(logits(6, 5, seed=9)).reshape(2, 3, 5) / 8.0
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_Q, _D = np.rint(9 * _RNG.uniform(size=(2, 3))), _RNG.uniform(size=(2, 3))
_GIVEN = np.asarray(1.5), np.asarray(0.75)
_ROWS = {"reduction": "none"}
_ALL = {"weight": _WEIGHT, "where": np.arange(5) != 2}

CASES = [
    Case("edges", (_EDGES, _LABELS, *_GIVEN), _ROWS, wrt=(0,), compiled=True, condition=16.0),
    Case("masked", (_EDGES, _LABELS, *_GIVEN), {"where": _WHERE, **_ROWS}, wrt=(0,),
         compiled=True, condition=16.0),
    Case("mean", (_X, _Y, _Q, _D), wrt=(0,), smooth=True, condition=4.0),
    Case("everything", (_X, _Y, _Q, _D), _ALL, wrt=(0,), smooth=True, condition=4.0),
    Case("floor", (_X, _Y, _Q, _D), {"eps": 0.0625}, wrt=(0,), smooth=True, condition=4.0),
    Case("soft", (_X, _SOFT, _Q, 0.0 * _D), wrt=(0, 1), condition=4.0),
    Case("classes_first", (np.moveaxis(_X, -1, 0), _Y, _Q, _D), {"axis": 0}, wrt=(0,),
         condition=4.0),
]  # fmt: skip
INTEGERS = (0, 2)


def _cost(z, t, lost, q, d, eps):
    w = d * np.log(2 + q)
    if lost:
        return np.inf
    e = np.exp(w * (z - np.max(z)))
    log_p = np.log(e + eps) - np.log(np.sum(e) + eps) if eps else log_softmax(w * z)
    return -np.sum(t * log_p) / np.log(2 + q)


def ORACLE(logits, target, q, d, *, eps=0.0, **options):
    return by_examples(_cost, logits, target, q, d, eps, **options)


def DRAW(rng):
    n, c = rng.integers(1, 6, size=2)
    q, d = np.rint(9 * rng.uniform(size=n)), rng.uniform(size=n)
    args = rng.normal(size=(n, c)), rng.integers(0, c, size=n), q, d
    return Case("drawn", args, wrt=(0,), condition=4.0)


def _cross_entropy_at_first(form, case):
    """In the paper's first epoch."""
    x, y, _, _ = case.args
    if "eps" in case.options or not np.all(np.abs(x) < 1e3):
        return None
    first = np.asarray(np.e - 2.0), np.asarray(1.0)
    return form(x, y, *first, **case.options), am.cross_entropy(x, y, **case.options)


IDENTITIES = (_cross_entropy_at_first,)


def GOLDEN(load):
    """The official loss, with its floor, and gradients."""
    for name in ("small", "edge"):
        z = load(f"sdm__sdm_activation_{name}")
        args = z["in_logits"], z["in_labels"], z["in_q"], z["in_d"]
        case = Case(name, args, {"eps": float(z["in_eps"])}, wrt=(0,))
        yield Golden(case, z["out_loss"], np.ones(()), {0: z["out_grad_logits"]}, rtol=1e-11)
