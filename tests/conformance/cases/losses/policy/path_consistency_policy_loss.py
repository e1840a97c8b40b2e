"""`path_consistency_policy_loss`: the policy's error in the soft Bellman equation."""

import numpy as np

from anymax._conformance.policies import LOGP, OLD, WHERE
from anymax.testing import Case, Golden

_V = np.random.default_rng(74).normal(size=LOGP.shape)
_R = np.asarray([1.0, 0.0, 1.0, 0.5, 1.0])
_STATES = WHERE & (np.arange(4) != 2)
_HIDE = lambda x, keep: np.where(keep, x, np.nan)  # noqa: E731
_BAD = (_HIDE(LOGP, WHERE), _HIDE(OLD, WHERE), _HIDE(_V, _STATES), _HIDE(_R, _STATES.any(-1)))
_MASKS = {"where": WHERE, "states": _STATES, "beta": 0.5}
_ARGS = (LOGP, OLD, _V, _R)

CASES = [  # what is held at a level, differences of the value can't show
    Case("token", _BAD, {**_MASKS, "reduction": "none"}, wrt=(), compiled=True, condition=64.0),
    Case("step", _BAD, {**_MASKS, "level": "step"}, wrt=(), compiled=True, condition=64.0),
    Case("clipped", _ARGS, {"clip": 0.5, "where": WHERE}, wrt=(), condition=64.0),
    Case(
        "response", _BAD, {**_MASKS, "level": "response", "hinge_coeff": 2.0}, wrt=(0,),
        condition=64.0,
    ),
    Case(
        "smooth", _ARGS,
        {"level": "response", "weight": np.asarray([1.0, 2.0, 1.0, 0.5, 0.25]), "beta": 1.0,
         "hinge_coeff": 0.5},
        wrt=(0, "weight"), smooth=True, condition=64.0,
    ),
    Case("one_state", _ARGS, {**_MASKS, "states": np.arange(4) == 0}, wrt=(), condition=64.0),
]  # fmt: skip
INTEGERS = (0, 1, 2, 3)


def ORACLE(
    logp, ref_logp, value, reward, *, level="token", beta=0.03, states=None, clip=None,
    hinge_coeff=0.0, where=None, weight=None, reduction="mean",
):  # fmt: skip
    keep = np.broadcast_to(True if where is None else where, logp.shape)
    states = keep if states is None else np.broadcast_to(states, logp.shape)
    live = states.any(-1)
    d = np.where(keep, logp - ref_logp, 0)
    total = np.stack([np.sum(d[:, t:], axis=-1) for t in range(d.shape[1])], axis=-1)
    bounded = total if clip is None else np.clip(total, -clip, clip)
    gap = np.where(states, beta * bounded + value - reward[:, None], 0)
    n = states.sum(-1)
    if level != "response":
        return _reduced(np.sum(gap * gap, -1) / np.maximum(n, 1), live, weight, reduction)
    rows, first = np.arange(len(n)), np.argmax(states, axis=-1)
    loss = _reduced(gap[rows, first] ** 2, live, weight, reduction)
    hinge = np.maximum(0, -total[rows, first])
    won = live & (reward == 1)
    return loss + hinge_coeff * _reduced(np.where(won, hinge, 0), won, weight, reduction)


def _reduced(loss, live, weight, reduction):
    count = np.where(live, 1.0 if weight is None else weight, 0.0)
    loss = np.where(count != 0, loss * count, 0)
    if reduction == "mean":
        return np.sum(loss) / np.sum(count) if np.sum(count) else np.zeros(())
    return np.sum(loss) if reduction == "sum" else loss


def DRAW(rng):
    b, t = rng.integers(1, 5, size=2)
    args = (*rng.normal(size=(3, b, t)), rng.normal(size=b))
    level = ("token", "step", "response")[rng.integers(3)]
    where = rng.uniform(size=(b, t)) < 0.7
    return Case("random", args, {"where": where, "level": level}, condition=1e5)


def GOLDEN(load):
    """OREO: tokens and steps with their gradients, and the loss of the whole response."""
    for level in ("token", "step"):
        z = load(f"oreo__{level}")
        args = z["in_logps"], z["in_ref_logps"], z["in_values"], z["in_reward"]
        options = {
            "where": z["in_action_mask"][:, 1:] != 0,
            "states": z["in_state_mask"][:, :-1] != 0,
        }
        grad = {0: z["out_policy_loss_grad_logps"]}
        case = Case(level, args, {**options, "level": level}, wrt=(0,))
        yield Golden(case, z["out_policy_loss"], np.ones(()), grad)
        case = Case(f"{level}_response", args, {**options, "level": "response"})
        yield Golden(case, z["out_traj_loss"])
