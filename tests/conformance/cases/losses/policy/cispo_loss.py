"""`cispo_loss`: policy gradient weighted by a constant clipped ratio."""

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

_ROWS = {"where": WHERE, "reduction": "none"}

CASES = [  # the ratio is a constant, which differences of the value can't show
    Case("edges", edges(), _ROWS, wrt=(), compiled=True, condition=16.0),
    Case("mean", (LOGP, OLD, ADVANTAGE), wrt=(), condition=16.0),
    Case(
        "verl", (LOGP, OLD, ADVANTAGE), {"ratio_min": 0.8, "ratio_max": 1.2, **_ROWS}, wrt=(),
        condition=16.0,
    ),
    Case("sequence", (LOGP, OLD, ADVANTAGE), {"ratio": "sequence", "where": WHERE}, wrt=(),
         condition=16.0),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(
    logp, old_logp, advantage, *, ratio_min=0.0, ratio_max=5.0, ratio="token", where=None,
    reduction="mean", length=None,
):  # fmt: skip
    a = per_token(advantage, logp)
    d = logp - old_logp
    d = sequence_mean(d, where) if ratio == "sequence" else d
    loss = -np.clip(np.exp(d), ratio_min, ratio_max) * a * logp
    return aggregated(np.where(a == 0, 0, loss), where, reduction, length)


DRAW = drawn


def GOLDEN(load):
    """verl bounds both sides, TRL the upper one."""
    z = load("classic-policy-gradient__verl_losses_large")
    args = z["in_log_prob"], z["in_old_log_prob"], z["in_advantages"]
    where = {"where": z["in_response_mask"] != 0}
    bounds = {"ratio_min": 0.8, "ratio_max": 1.28}
    yield Golden(Case("verl", args, {**where, **bounds}), z["out_cispo"], rtol=1e-8)
    for size in ("mid", "large"):
        z = load(f"classic-policy-gradient__trl_grpo_{size}")
        args = z["in_per_token_logps"], z["in_old_per_token_logps"], z["in_advantages"]
        for ratio in ("token", "sequence"):
            options = {"where": z["in_mask"] != 0, "ratio": ratio}
            yield Golden(Case(f"{size}_{ratio}", args, options), z[f"out_cispo_{ratio}_kl0.0"])
