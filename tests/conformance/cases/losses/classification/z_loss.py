"""`z_loss`: softplus of the standardised target logit."""

import numpy as np

from anymax._conformance.examples import by_examples
from anymax._conformance.identities import shift_invariant
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, Golden, logits

_EDGES, _WHERE = edge_logits()
_EDGES[1, 5] = 1.25  # where all are equal there is no slope: tests/test_losses_spherical.py
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_ROWS = {"reduction": "none"}
_ALL = {"a": 2.0, "b": 0.75, "eps": 0.125, "weight": _WEIGHT}
_EQUAL = np.asarray([[0.1, 0.1, 0.1], [-3.0, -np.inf, -3.0], [1e4, 1e4, 1e4 + 64]])

CASES = [
    Case("edges", (_EDGES, _LABELS), _ROWS, compiled=True, condition=4.0),
    Case("masked", (_EDGES, _LABELS), {"where": _WHERE, **_ROWS}, compiled=True, condition=4.0),
    Case("mean", (_X, _Y), smooth=True, condition=4.0),
    Case("everything", (_X, _Y), {"where": np.arange(5) != 2, **_ALL}, smooth=True, condition=4.0),
    Case("classes_first", (np.moveaxis(_X, -1, 0), _Y), {"axis": 0, "reduction": "sum"}),
    Case("equal", (_EQUAL, np.asarray([1, 0, 2])), _ROWS, wrt=(), condition=64.0),
    Case("one_class", (logits(4, 1), np.zeros(4, int)), {"b": 0.5}),
    Case("no_row", (np.zeros((0, 4)), np.zeros(0, int))),
]


def _cost(z, t, lost, a, b, eps):
    if lost:
        return np.inf
    c = z / max(1, np.max(np.abs(z)))
    eps = eps / max(1, np.max(np.abs(z)))
    spread = c.max() > c.min()
    sigma = np.sqrt(np.mean((c - c.mean()) ** 2)) if spread else 0.0
    y = np.sum(t * (c - c.mean())) / (sigma + eps) if spread else 0.0
    return np.logaddexp(0, a * (b - y)) / a


def ORACLE(logits, target, *, a=1.0, b=0.0, eps=0.0, **options):
    return by_examples(_cost, logits, target, a, b, eps, **options)


def _scale_invariant(form, case):
    x, y = case.args
    if case.options.get("eps") or not np.isfinite(x).all():
        return None
    return form(3.0 * x, y, **case.options), form(x, y, **case.options)


IDENTITIES = (shift_invariant, _scale_invariant)


def GOLDEN(load):
    """The official script, a sum; its softplus is the identity above 20."""
    for name in ("k3", "scaled"):
        z = load(f"z-loss__factored_{name}")
        args = z["in_H"] @ z["in_W"].T, z["in_idx"][:, 0]
        case = Case(name, args, {"eps": 1e-12, "reduction": "sum"})
        yield Golden(case, z["out_z_loss"], rtol=1e-8)
