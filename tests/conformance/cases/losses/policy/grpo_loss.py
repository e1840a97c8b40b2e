"""`grpo_loss`: PPO's clipped surrogate with a penalty for leaving a reference."""

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
_REF = LOGP + 0.25 * np.random.default_rng(62).normal(size=LOGP.shape)
_HIDDEN = np.where(WHERE, _REF, np.nan)

CASES = [
    Case(
        "edges", edges(),
        {"where": WHERE, "reduction": "none", "ref_logp": _HIDDEN, "beta": np.asarray(0.0625)},
        wrt=(0,), compiled=True, condition=64.0,
    ),
    Case("plain", _ARGS, wrt=(0,), smooth=True, condition=16.0),
    Case(
        "penalty", _ARGS, {"ref_logp": _REF, "beta": np.asarray(0.5)}, wrt=(0, "beta"), smooth=True,
        condition=64.0,
    ),
    Case(
        "trl", _ARGS,
        {"ref_logp": _HIDDEN, "beta": 0.04, "where": WHERE, "reduction": "seq-mean-token-mean",
         "empty": "keep", "ratio": "sequence"},
        wrt=(0,), condition=64.0,
    ),
    Case(
        "verl", _ARGS,
        {"ref_logp": _REF, "beta": 0.5, "dual_clip": 3.0, "log_ratio_clip": 20.0,
         "kl_clip": (0.3, 0.04), "reduction": "none"},
        wrt=(0,), condition=64.0,
    ),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(
    logp, old_logp, advantage, *, ref_logp=None, beta=0.0, clip_low=0.2, clip_high=0.2,
    dual_clip=None, log_ratio_clip=None, kl_clip=None, ratio="token", where=None, reduction="mean",
    length=None, empty="drop",
):  # fmt: skip
    a = per_token(advantage, logp)
    d = logp - old_logp
    d = sequence_mean(d, where) if ratio == "sequence" else d
    d = d if log_ratio_clip is None else np.clip(d, -log_ratio_clip, log_ratio_clip)
    rho = np.exp(d)
    loss = np.maximum(-a * rho, -a * np.clip(rho, 1 - clip_low, 1 + clip_high))
    if dual_clip is not None:
        loss = np.where(a < 0, np.minimum(loss, -a * dual_clip), loss)
    loss = np.where((a == 0) & ~np.isnan(d), 0, loss)
    if ref_logp is not None:
        gap = logp - ref_logp
        gap = gap if kl_clip is None else np.clip(gap, -kl_clip[0], kl_clip[0])
        kl = np.expm1(-gap) + gap
        loss = loss + beta * (kl if kl_clip is None else np.clip(kl, -kl_clip[1], kl_clip[1]))
    return aggregated(loss, where, reduction, length, empty)


def DRAW(rng):
    case = drawn(rng)
    return case.with_("random", ref_logp=rng.normal(size=case.args[0].shape), beta=0.25)


def GOLDEN(load):
    """TRL's loss types and importance sampling levels, with and without the penalty."""
    modes = {
        "grpo": {"reduction": "seq-mean-token-mean", "empty": "keep"},
        "bnpo": {"reduction": "mean"},
        "dapo": {"reduction": "mean"},
        "dr_grpo": {"reduction": "seq-mean-token-sum-norm", "length": 7, "empty": "keep"},
    }
    for size in ("mid", "large"):
        z = load(f"classic-policy-gradient__trl_grpo_{size}")
        args = z["in_per_token_logps"], z["in_old_per_token_logps"], z["in_advantages"]
        ref, where = z["in_ref_per_token_logps"], z["in_mask"] != 0
        for name, mode in modes.items():
            for ratio in ("token", "sequence"):
                for beta in (0.0, 0.04):
                    options = {**mode, "ratio": ratio, "beta": beta, "ref_logp": ref}
                    options = {**options, "where": where, "clip_high": 0.28}
                    key = f"{name}_{ratio}_kl{beta}"
                    yield Golden(Case(f"{size}_{key}", args, options), z[f"out_{key}"])
