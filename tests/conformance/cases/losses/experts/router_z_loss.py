"""`router_z_loss`: squared logsumexp of a router's logits."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax._conformance.oracles import axes, logsumexp, taking_part
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, Golden, logits

_EDGES, _WHERE = edge_logits()
_X = logits(6, 5, seed=1).reshape(2, 3, 5)
_WEIGHT = np.asarray([[1.0, 0.5, 2.0], [0.25, 0.0, 1.5]])

CASES = [
    Case("edges", (_EDGES,), {"reduction": "none", "coeff": 1.0}, compiled=True),
    Case("masked", (_EDGES,), {"where": _WHERE, "reduction": "none"}, compiled=True),
    Case("mean", (_X,), smooth=True),
    Case("weighted", (_X,), {"weight": _WEIGHT, "where": np.arange(5) != 1, "axis": -1},
         wrt=(0, "weight"), smooth=True),
    Case("dropped", (_EDGES[:5],), {"where": np.arange(5)[:, None] != 2, "reduction": "mean"}),
    Case("nothing", (_X,), {"where": np.zeros((2, 3, 1), bool)}),
]  # fmt: skip


def ORACLE(logits, *, axis=-1, where=None, weight=None, reduction="mean", coeff=1e-3):
    lse = logsumexp(logits, taking_part(logits, where), axes(logits, axis))
    live = lse != -np.inf
    return reduced(
        coeff * np.where(live, lse, 0) ** 2, reduction, live=live, weight=weight
    )  # fmt: skip


def GOLDEN(load):
    z = load("classic-moe-aux__load_balance_zloss")
    for n in range(3):
        case = Case(str(n), (z[f"in_logits_{n}"],), {"coeff": float(z[f"in_z_coeff_{n}"])})
        yield Golden(case, z[f"out_z_{n}"], np.ones(()), {0: z[f"out_grad_z_{n}"]})
