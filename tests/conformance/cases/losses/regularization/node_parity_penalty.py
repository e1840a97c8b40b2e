"""`node_parity_penalty`: Huber penalty on the difference between groups at every node."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax.testing import Case, logits

_N = 1.0 / (1.0 + np.exp(-logits(7, 5, seed=2)))
_G = np.arange(7) % 3 == 0
_KEEP = np.arange(35).reshape(7, 5) % 4 != 2
_KEEP[_G, 1] = False  # a node that sees one group

CASES = [
    Case("sum", (_N, _G), {"delta": 0.125}, compiled=True, smooth=True, condition=8.0),
    Case("nodes", (_N, _G), {"delta": 0.25, "coeff": 0.5, "reduction": "none"}, smooth=True,
         condition=8.0),
    Case("masked", (np.where(_KEEP, _N, np.nan), _G), {"where": _KEEP, "reduction": "mean"},
         compiled=True, condition=8.0),
    Case("bad", (np.where(_KEEP, _N, np.nan), _G), {"reduction": "none"}, condition=8.0),
    Case("empty_group", (_N, np.ones(7, bool)), {"reduction": "mean"}),
    Case("nothing", (np.zeros((0, 3)), np.zeros(0, bool))),
]  # fmt: skip


def ORACLE(node_probs, group, *, delta=0.01, coeff=1.0, where=None, reduction="sum"):
    keep = np.broadcast_to(True if where is None else where, node_probs.shape)
    nodes = node_probs.shape[1]
    penalty, live = np.zeros(nodes, np.longdouble), np.zeros(nodes, bool)
    for m in range(nodes):
        ours, others = (node_probs[part & keep[:, m], m] for part in (group, ~group))
        live[m] = ours.size and others.size
        if not live[m]:
            continue
        f = np.abs(np.mean(ours) - np.mean(others))
        penalty[m] = coeff * (f * f / 2 if f <= delta else delta * (f - delta / 2))
    return reduced(penalty, reduction, live=live)


def DRAW(rng):
    n = rng.integers(2, 9)
    args = rng.uniform(size=(n, rng.integers(1, 5))), np.arange(n) % 2 == 0
    return Case("drawn", args, condition=1e4)
