"""`path_consistency_value_loss`: the values' error in the soft Bellman equation."""

import numpy as np

from anymax._conformance.policies import LOGP, OLD, WHERE
from anymax.testing import Case, Golden

_V = np.random.default_rng(74).normal(size=LOGP.shape)
_R = np.asarray([1.0, 0.0, 1.0, 0.5, 1.0])
_STATES = WHERE & (np.arange(4) != 2)
_HIDE = lambda x, keep: np.where(keep, x, np.nan)  # noqa: E731
_ARGS = (_HIDE(LOGP, WHERE), _HIDE(OLD, WHERE), _HIDE(_V, _STATES), _HIDE(_R, _STATES.any(-1)))

CASES = [
    Case("edges", _ARGS, {"where": WHERE, "states": _STATES, "beta": 0.5, "reduction": "none"},
         wrt=(2,), compiled=True, condition=64.0),
    Case("mean", (LOGP, OLD, _V, _R), wrt=(2,), smooth=True, condition=64.0),
    Case(
        "weighted", (LOGP, OLD, _V, _R),
        {"where": WHERE, "weight": np.asarray([1.0, 2.0, 1.0, 0.5, 0.25]), "clip": 0.5,
         "beta": 1.0},
        wrt=(2, "weight"), condition=256.0,
    ),
    Case("nothing", _ARGS, {"states": np.asarray(False)}, wrt=(2,)),
]  # fmt: skip
INTEGERS = (0, 1, 2, 3)


def ORACLE(
    logp, ref_logp, value, reward, *, beta=0.03, states=None, clip=None, where=None, weight=None,
    reduction="mean",
):  # fmt: skip
    keep = np.broadcast_to(True if where is None else where, logp.shape)
    states = keep if states is None else np.broadcast_to(states, logp.shape)
    d = np.where(keep, logp - ref_logp, 0)
    total = np.stack([np.sum(d[:, t:], axis=-1) for t in range(d.shape[1])], axis=-1)
    total = total if clip is None else np.clip(total, -clip, clip)
    gap = np.where(states, beta * total + value - reward[:, None], 0)
    n = states.sum(-1)
    loss = np.sum(gap * gap, axis=-1) / np.maximum(n, 1)
    count = np.where(n > 0, 1.0 if weight is None else weight, 0.0)
    loss = np.where(count != 0, loss * count, 0)
    if reduction == "mean":
        return np.sum(loss) / np.sum(count) if np.sum(count) else np.zeros(())
    return np.sum(loss) if reduction == "sum" else loss


def DRAW(rng):
    b, t = rng.integers(1, 5, size=2)
    args = (*rng.normal(size=(3, b, t)), rng.normal(size=b))
    return Case("random", args, {"where": rng.uniform(size=(b, t)) < 0.7}, condition=1e5)


def errors_of_steps_add_up(form, case):
    from anymax import soft_bellman_residual

    if "clip" in case.options or case.options.get("reduction") != "none":
        return None
    options = {k: v for k, v in case.options.items() if k in ("beta", "states", "where")}
    steps = soft_bellman_residual(*case.args, **options)
    states = np.broadcast_to(options["states"], steps.shape)
    total = np.where(states, np.cumsum(steps[:, ::-1], axis=-1)[:, ::-1], 0)
    mean = np.sum(total * total, axis=-1) / np.maximum(states.sum(-1), 1)
    return form(*case.args, **case.options), mean


def GOLDEN(load):
    """OREO; its weights multiply, and the batch divides."""
    for level in ("token", "step"):
        z = load(f"oreo__{level}")
        args = z["in_logps"], z["in_ref_logps"], z["in_values"], z["in_reward"]
        options = {
            "where": z["in_action_mask"][:, 1:] != 0,
            "states": z["in_state_mask"][:, :-1] != 0,
        }
        yield Golden(Case(level, args, options), z["out_value_loss"])
        yield Golden(
            Case(f"{level}_clip", args, {**options, "clip": 5.0}), z["out_value_loss_clip5"]
        )
        w = z["out_is_weights"]
        case = Case(f"{level}_weighted", args, {**options, "weight": w, "reduction": "sum"})
        yield Golden(case, len(w) * z["out_value_loss_is"])


IDENTITIES = (errors_of_steps_add_up,)
