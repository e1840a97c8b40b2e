"""`gspo_loss`: PPO's clipped surrogate with one ratio a sequence."""

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

_LOGP, _OLD, _A = edges()
_OLD[3, 0] = -1.0
_ARGS = (LOGP, OLD, ADVANTAGE)

CASES = [
    Case(
        "edges", (_LOGP, _OLD, _A), {"where": WHERE, "reduction": "none"}, wrt=(0,), compiled=True,
        condition=16.0,
    ),
    Case("default", _ARGS, {"where": WHERE}, wrt=(0,), condition=16.0),
    Case("wide", _ARGS, {"clip_low": 0.5, "clip_high": 1.0}, wrt=(0,), smooth=True, condition=16.0),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(
    logp, old_logp, advantage, *, clip_low=3e-4, clip_high=4e-4, where=None,
    reduction="seq-mean-token-mean", length=None,
):  # fmt: skip
    a = per_token(advantage, logp)
    s = np.exp(sequence_mean(logp - old_logp, where))
    loss = np.maximum(-a * s, -a * np.clip(s, 1 - clip_low, 1 + clip_high))
    return aggregated(np.where(a == 0, 0, loss), where, reduction, length)


DRAW = drawn


def is_ppo_by_sequences(form, case):
    from anymax import ppo_clip_loss

    options = {"clip_low": 3e-4, "clip_high": 4e-4, "reduction": "seq-mean-token-mean"}
    options = {**options, **case.options, "ratio": "sequence"}
    return form(*case.args, **case.options), ppo_clip_loss(*case.args, **options)


def GOLDEN(load):
    """verl, whose bound of 10 on the mean log-ratio acts on no sequence here."""
    z = load("classic-policy-gradient__verl_losses_large")
    args = z["in_log_prob"], z["in_old_log_prob"], z["in_advantages"]
    options = {"where": z["in_response_mask"] != 0, "clip_low": 0.2, "clip_high": 0.28}
    yield Golden(Case("verl", args, options), z["out_gspo"], rtol=1e-8)


IDENTITIES = (is_ppo_by_sequences,)
