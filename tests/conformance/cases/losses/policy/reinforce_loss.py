"""`reinforce_loss`: log-probabilities weighted by advantages."""

import numpy as np

from anymax._conformance.policies import ADVANTAGE, LOGP, WHERE, aggregated, drawn, edges, per_token
from anymax.testing import Case

_LOGP, _, _A = edges()
_LOGP[3, 0] = -np.inf  # of no advantage

CASES = [
    Case("edges", (_LOGP, _A), {"where": WHERE, "reduction": "none"}, wrt=(0,), compiled=True),
    Case("mean", (LOGP, ADVANTAGE), wrt=(0,), smooth=True, condition=16.0),
    Case(
        "sequences", (LOGP, ADVANTAGE[:, None]),
        {"where": WHERE, "reduction": "seq-mean-token-sum-norm", "length": 16}, wrt=(0,),
        condition=16.0,
    ),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(logp, advantage, *, where=None, reduction="mean", length=None):
    a = per_token(advantage, logp)
    return aggregated(np.where(a == 0, 0, -a * logp), where, reduction, length)


def DRAW(rng):
    return drawn(rng, 2)
