"""`spherical_mse`: squared distance of the logits from their target."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, Golden, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_VALUES = logits(6, 5, seed=9).reshape(2, 3, 5)
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_ROWS = {"reduction": "none"}

CASES = [
    Case("edges", (_EDGES, _LABELS), _ROWS, compiled=True),
    Case("masked", (_EDGES, _LABELS), {"where": _WHERE, **_ROWS}, compiled=True),
    Case("weighted", (_X, _Y), {"weight": _WEIGHT}, wrt=(0, "weight"), smooth=True),
    Case("values", (_X, _VALUES), {"where": np.arange(5) % 4 != 3, **_ROWS}, wrt=(0,), smooth=True),
    Case("values_mean", (_X, np.abs(_VALUES)), {"weight": _WEIGHT}, wrt=(0, 1), smooth=True),
    Case("classes_first", (np.moveaxis(_X, -1, 0), _Y), {"axis": 0, "reduction": "sum"}),
    Case("no_row", (np.zeros((0, 4)), np.zeros(0, int))),
]


def ORACLE(logits, target, **options):
    labels = target.dtype.kind != "f"

    def cost(z, t, lost):
        return np.inf if lost and labels else np.sum((z - t) ** 2)

    return by_examples(cost, logits, target, finite=False, **options)


def _through_the_statistics(form, case):
    x, t = case.args
    if t.dtype.kind == "f" or set(case.options) - {"reduction"} or not np.isfinite(x).all():
        return None
    q, _ = am.losses.spherical_stats(x)
    a = np.take_along_axis(x, t[..., None], axis=-1)[..., 0]
    return form(x, t, reduction="none"), q - 2.0 * a + 1.0


IDENTITIES = (_through_the_statistics,)


def GOLDEN(load):
    """The official script, a sum."""
    for name in ("k3", "scaled"):
        z = load(f"z-loss__factored_{name}")
        args = z["in_H"] @ z["in_W"].T, z["in_idx"][:, 0]
        yield Golden(Case(name, args, {"reduction": "sum"}), z["out_mse"])
