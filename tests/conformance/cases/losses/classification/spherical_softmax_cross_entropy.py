"""`spherical_softmax_cross_entropy`: surprise under the spherical softmax."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_SOFT = np.abs(logits(6, 5, seed=9)).reshape(2, 3, 5) / 8.0
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_ROWS = {"reduction": "none"}
_ALL = {"eps": 0.25, "weight": _WEIGHT, "where": np.arange(5) != 2}
_ZEROS = np.asarray([[0.0, 0.0, 0.0], [0.0, -np.inf, 0.0], [0.0, 2.0, 0.0]])

CASES = [
    Case("edges", (_EDGES, _LABELS), _ROWS, compiled=True),
    Case("masked", (_EDGES, _LABELS), {"where": _WHERE, **_ROWS}, compiled=True),
    Case("mean", (_X, _Y), smooth=True, condition=4.0),
    Case("everything", (_X, _Y), _ALL, smooth=True),
    Case("soft", (_X, _SOFT), {"eps": 0.5}, wrt=(0, 1), smooth=True),
    Case("zeros", (_ZEROS, np.asarray([1, 0, 2])), _ROWS, wrt=()),
    Case("classes_first", (np.moveaxis(_X, -1, 0), _Y), {"axis": 0, "eps": 1.0}),
]


def _cost(z, t, lost, eps):
    p = z / np.max(np.abs(z)) if np.any(z) else np.ones_like(z)
    p = p**2 + eps / (np.max(np.abs(z)) ** 2 if np.any(z) else 1.0)
    log_p = np.log(p) - np.log(np.sum(p))
    return np.inf if lost else -np.sum(np.where(t == 0, 0, t * log_p))


def ORACLE(logits, target, *, eps=0.0, **options):
    return by_examples(_cost, logits, target, eps, **options)


def _is_expected_log(form, case):
    x, y = case.args
    eps = case.options.get("eps", 0.0)
    if set(case.options) - {"reduction", "eps"} or y.dtype.kind == "f" or np.isnan(x).any():
        return None
    logp = am.log_spherical_softmax(x, eps=eps)
    expected = -np.take_along_axis(logp, y[..., None], axis=-1)[..., 0]
    empty = (x == -np.inf).all(axis=-1)
    return form(x, y, eps=eps, reduction="none"), np.where(empty, 0.0, expected)


IDENTITIES = (_is_expected_log,)
