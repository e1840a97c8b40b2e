"""`generalized_advantage_estimate`: weighted sums of a value function's errors in time."""

import numpy as np

from anymax._conformance.policies import LOGP, OLD, WHERE
from anymax.testing import Case, Golden

_GAPS = WHERE.copy()
_GAPS[0, 1] = False
_R, _V = np.where(_GAPS, LOGP, np.nan), np.where(_GAPS, OLD, np.inf)
_LAST = np.asarray([0.5, -1.0, 0.25, 2.0, 1.0])
_OPTIONS = {"gamma": 0.5, "lam": 0.75}

CASES = [
    Case(
        "masked", (_R, _V), {"where": _GAPS, "last_value": _LAST, **_OPTIONS},
        wrt=(0, 1, "last_value"), compiled=True, condition=64.0,
    ),
    Case("default", (LOGP, OLD), smooth=True, condition=64.0),
    Case("whitened", (LOGP, OLD), {"whiten": True, **_OPTIONS}, smooth=True, condition=256.0),
    Case("masked_whitened", (_R, _V), {"whiten": True, "where": _GAPS}, condition=256.0),
    Case("errors", (LOGP, OLD), {"lam": 0.0, "gamma": 0.5}, condition=16.0),
    Case("one_step", (LOGP[:1, :1], OLD[:1, :1]), {"whiten": True}, condition=16.0),
    Case("one_sequence", (LOGP[0], OLD[0]), {"last_value": np.asarray(0.5)}, condition=64.0),
    Case("no_step", (LOGP[:, :0], OLD[:, :0])),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(
    reward, value, *, gamma=1.0, lam=1.0, where=None, last_value=None, whiten=False
):  # fmt: skip
    keep = np.broadcast_to(True if where is None else where, reward.shape)
    a, returns = (np.zeros(reward.shape, np.longdouble) for _ in range(2))
    for row in np.ndindex(reward.shape[:-1]):
        ahead = np.longdouble(0 if last_value is None else last_value[row])
        carried = np.longdouble(0)
        for t in reversed(range(reward.shape[-1])):
            if keep[row][t]:
                delta = reward[row][t] + gamma * ahead - value[row][t]
                carried = delta + (gamma * lam * carried if gamma * lam else 0)
                ahead = value[row][t]
                a[row][t], returns[row][t] = carried, carried + ahead
    if whiten and keep.sum() > 1:
        mean = np.sum(a[keep]) / keep.sum()
        variance = np.sum((a[keep] - mean) ** 2) / (keep.sum() - 1)
        a = np.where(keep, (a - mean) / np.sqrt(variance + 1e-8), 0)
    return a, returns


def DRAW(rng):
    shape = tuple(rng.integers(1, 9, size=2))
    args = rng.normal(size=shape), rng.normal(size=shape)
    return Case("random", args, {"where": rng.uniform(size=shape) < 0.7, **_OPTIONS}, condition=1e4)


def returns_are_the_rewards_to_come(form, case):
    if case.options:
        return None
    reward = case.args[0]
    returns = form(*case.args)[1]
    return returns, np.cumsum(reward[..., ::-1], axis=-1)[..., ::-1]


def GOLDEN(load):
    """verl, which reports the next advantage (and the masked value) at masked steps."""
    for name in ("gae_g1_l95", "gae_g99_l90"):
        z = load(f"classic-advantages__{name}")
        where = z["in_mask"] != 0
        options = {"gamma": float(z["in_gamma"]), "lam": float(z["in_lam"]), "where": where}
        args, returns = (z["in_rewards"], z["in_values"]), where * z["out_returns"]
        for kind in ("raw", "whitened"):
            case = Case(f"{name}_{kind}", args, {**options, "whiten": kind == "whitened"})
            yield Golden(case, (where * z[f"out_advantages_{kind}"], returns), rtol=1e-9)


IDENTITIES = (returns_are_the_rewards_to_come,)
