"""`sapo_loss`: policy gradient through a sigmoid of the ratio."""

import numpy as np

from anymax._conformance.policies import (
    ADVANTAGE,
    LOGP,
    OLD,
    WHERE,
    aggregated,
    drawn,
    edges,
    per_token,
    sequence_mean,
)
from anymax.testing import Case, Golden

_ARGS = (LOGP, OLD, ADVANTAGE)

CASES = [
    Case(
        "edges", edges(), {"where": WHERE, "reduction": "none"}, wrt=(0,), compiled=True,
        condition=16.0,
    ),
    Case("mean", _ARGS, wrt=(0,), smooth=True, condition=64.0),
    Case(
        "sequence", _ARGS,
        {"ratio": "sequence", "where": WHERE, "tau_pos": 2.0, "reduction": "seq-mean-token-mean"},
        wrt=(0,), condition=64.0,
    ),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(
    logp, old_logp, advantage, *, tau_pos=1.0, tau_neg=1.05, ratio="token", where=None,
    reduction="mean", length=None,
):  # fmt: skip
    a = per_token(advantage, logp)
    d = logp - old_logp
    d = sequence_mean(d, where) if ratio == "sequence" else d
    tau = np.where(a > 0, tau_pos, tau_neg)
    loss = -4 / tau * a / (1 + np.exp(-tau * np.expm1(d)))
    return aggregated(np.where((a == 0) & ~np.isnan(d), 0, loss), where, reduction, length)


DRAW = drawn


def GOLDEN(load):
    """verl by sequences; TRL, whose sapo averages over all rows as its grpo does."""
    z = load("classic-policy-gradient__verl_losses_large")
    args = z["in_log_prob"], z["in_old_log_prob"], z["in_advantages"]
    options = {"where": z["in_response_mask"] != 0, "reduction": "seq-mean-token-mean"}
    yield Golden(Case("verl", args, options), z["out_sapo"], rtol=1e-8)
