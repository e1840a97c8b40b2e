"""Cases of multilabel_margin_loss."""

import numpy as np

from anymax._conformance.identities import shift_invariant
from anymax._conformance.margins import edges, hot, of_hot
from anymax.testing import Case, Golden, logits

_X, _, _WHERE = edges()
_HOT = hot(
    np.asarray([[2, 0], [0, 5], [4, -1], [0, 5], [3, 1], [2, 1], [5, 1], [1, 3], [0, -1]]), 6
)
_Z = logits(6, 5, seed=8).reshape(2, 3, 5)
_LISTS = np.asarray([[[0, 4, -1], [4, -1, -1], [2, 1, 0]], [[3, -1, -1], [-1, -1, -1], [1, 0, 4]]])
_KEEP = np.arange(30).reshape(2, 3, 5) % 4 != 3
_KEEP[1, 2] = False
_KINKS = np.asarray(
    [[1.0, 2.0, 2.0, 0.0, 1.0, 3.0], [10240.0, 10239.0, 10240.5, 0.0, 10241.0, -5.0]]
)
_RIGHT = hot(np.asarray([[1, 2, 5], [0, 1, 2]]), 6)

CASES = [
    Case("edges", (_X, _HOT), {"reduction": "none"}),
    Case("masked", (_X, _HOT), {"where": _WHERE, "reduction": "none"}, compiled=True),
    Case("lists", (_Z, _LISTS), smooth=True),
    Case("hot", (_Z, hot(_LISTS, 5)), {"where": _KEEP}, compiled=True),
    Case("kinks", (_KINKS, _RIGHT), {"reduction": "none"}, wrt=()),
    Case("first_axis", (np.moveaxis(_Z, -1, 0), np.moveaxis(_LISTS, -1, 0)), {"axis": 0}),
    Case("one_row", (_Z[0, 0], _LISTS[0, 0]), {"reduction": "sum"}, smooth=True),
    Case("no_class", (np.zeros((2, 0)), np.zeros((2, 0), bool))),
]  # fmt: skip


def ORACLE(x, y, *, axis=-1, **options):
    x = np.moveaxis(x, axis, -1)
    y = y if y.dtype == bool else hot(np.moveaxis(y, axis, -1), x.shape[-1])
    return of_hot(_pairs)(x, y, **options)


def _pairs(z, right):
    return np.sum(np.maximum(0.0, 1.0 - (z[right][:, None] - z[~right]))) / z.size


IDENTITIES = (shift_invariant,)


def GOLDEN(load):
    """torch.nn.functional.multilabel_margin_loss."""
    z = load("classic-hinge__multi_margin")
    for n in range(3):
        args = (z[f"in_scores_{n}"], z[f"in_multilabel_{n}"])
        yield Golden(Case(str(n), args, {"reduction": "none"}), z[f"out_multilabel_margin_{n}"])
