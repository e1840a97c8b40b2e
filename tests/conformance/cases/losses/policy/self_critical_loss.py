"""`self_critical_loss`: policy gradient against the greedy sequence."""

import numpy as np

from anymax._conformance.policies import ADVANTAGE, LOGP, WHERE, aggregated, drawn, per_token
from anymax.testing import Case, Golden

_BAD = np.where(WHERE, LOGP, -np.inf)
_BASE = np.asarray([0.5, -0.75, 0.25, 0.125, 1.0])

CASES = [
    Case(
        "edges", (_BAD, ADVANTAGE, _BASE), {"where": WHERE, "reduction": "none"}, wrt=(0,),
        compiled=True,
    ),
    Case("mean", (LOGP, ADVANTAGE, _BASE), wrt=(0,), smooth=True, condition=16.0),
    Case(
        "summarisation", (LOGP, ADVANTAGE, np.tile(_BASE[:, None], (1, 4))),
        {"where": WHERE, "reduction": "seq-mean-token-sum"}, wrt=(0,), condition=16.0,
    ),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(logp, reward, baseline, *, where=None, reduction="mean", length=None):
    a = per_token(reward, logp) - per_token(baseline, logp)
    return aggregated(np.where(a == 0, 0, -a * logp), where, reduction, length)


DRAW = drawn


def GOLDEN(load):
    """self-critical.pytorch; the token that ends a sequence is scored."""
    z = load("classic-policy-gradient__self_critical")
    seq = z["in_seq"]
    logp = np.take_along_axis(z["in_log_probs"], seq[..., None], -1)[..., 0]
    ahead = np.concatenate([np.ones((len(seq), 1), bool), seq[:, :-1] > 0], axis=1)
    args = logp, z["in_reward"][:, 0], np.zeros(len(seq))
    yield Golden(Case("scst", args, {"where": ahead}), z["out_scst_mean"])
