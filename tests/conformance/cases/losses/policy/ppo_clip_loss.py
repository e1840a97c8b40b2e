"""`ppo_clip_loss`: PPO's clipped surrogate."""

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
_ROWS = {"where": WHERE, "reduction": "none"}

CASES = [
    Case("edges", edges(), _ROWS, wrt=(0,), compiled=True, condition=16.0),
    Case("mean", _ARGS, wrt=(0,), smooth=True, condition=16.0),
    Case(
        "verl", _ARGS, {"clip_high": 0.28, "dual_clip": 1.25, "log_ratio_clip": 0.5, **_ROWS},
        wrt=(0,), condition=16.0,
    ),
    Case("sequence", _ARGS, {"ratio": "sequence", "where": WHERE}, wrt=(0,), condition=16.0),
    Case("unclipped", _ARGS, {"clip_low": np.inf, "clip_high": np.inf}, wrt=(0,), condition=16.0),
    Case("one", (LOGP[0], OLD[0], np.asarray(1.5)), wrt=(0,), condition=16.0),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(
    logp, old_logp, advantage, *, clip_low=0.2, clip_high=0.2, dual_clip=None, log_ratio_clip=None,
    ratio="token", where=None, reduction="mean", length=None,
):  # fmt: skip
    a = per_token(advantage, logp)
    d = logp - old_logp
    d = sequence_mean(d, where) if ratio == "sequence" else d
    if log_ratio_clip is not None:
        d = np.clip(d, -log_ratio_clip, log_ratio_clip)
    rho = np.exp(d)
    loss = np.maximum(-a * rho, -a * np.clip(rho, 1 - clip_low, 1 + clip_high))
    if dual_clip is not None:
        loss = np.where(a < 0, np.minimum(loss, -a * dual_clip), loss)
    return aggregated(np.where((a == 0) & ~np.isnan(d), 0, loss), where, reduction, length)


DRAW = drawn


def GOLDEN(load):
    """verl's vanilla loss, dual clip and clamp, in its five aggregations."""
    z = load("classic-policy-gradient__verl_losses_large")
    args = z["in_log_prob"], z["in_old_log_prob"], z["in_advantages"]
    options = {
        "where": z["in_response_mask"] != 0, "clip_high": 0.28, "dual_clip": 3.0,
        "log_ratio_clip": 20.0,
    }  # fmt: skip
    names = {"mean": "token_mean", "sum": "token_sum"}
    for mode in ("mean", "sum", *(f"seq-mean-token-{s}" for s in ("sum", "sum-norm", "mean"))):
        case = Case(mode, args, {**options, "reduction": mode})
        expected = z["out_ppo_clip_" + names.get(mode, mode.replace("-", "_"))]
        yield Golden(case, expected, rtol=1e-8)
