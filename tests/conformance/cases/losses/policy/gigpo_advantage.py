"""`gigpo_advantage`: advantages of episodes in their group and of steps at their state."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(65)
_TRAJECTORY = np.asarray([0, 0, 0, 1, 1, 2, 2, 5, 5, 9])
_GROUP = np.asarray([0, 0, 0, 0, 0, 0, 0, 4, 4, 7])
_ANCHOR = np.asarray([1, 2, 1, 1, 2, 2, 3, 1, 1, 1])
_E = np.asarray([1.0, 1.0, 1.0, 0.5, 0.5, -0.25, -0.25, 2.0, 2.0, 0.75])
_S = _RNG.normal(size=10)
_WHERE = np.tile(np.asarray([True, True, False]), (10, 1))
_WHERE[2] = False  # a step without a token
_BAD = _S.copy()
_BAD[2] = np.nan
_IDS = (_GROUP, _ANCHOR, _TRAJECTORY)

CASES = [
    Case("edges", (_E, _BAD, *_IDS), {"where": _WHERE}, compiled=True, condition=256.0),
    Case(
        "weighted", (_E, _S, *_IDS), {"step_weight": np.asarray(0.5)},
        wrt=(0, 1, "step_weight"), smooth=True, condition=256.0,
    ),
    Case(
        "per_trajectory", (_E, _S, *_IDS), {"episode_stats": "per_trajectory", "where": _WHERE},
        wrt=(1,), condition=256.0,
    ),
    Case("divided", (_E, _S, *_IDS), {"kind": "mean_std", "eps": 0.25}, wrt=(), condition=1e3),
    Case("none", tuple(x[:0] for x in (_E, _S, *_IDS))),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(
    episode_return, step_return, group, anchor, trajectory, *, step_weight=1.0, kind="mean",
    eps=1e-6, episode_stats="across_steps", where=None,
):  # fmt: skip
    n = len(group)
    live = np.ones(n, bool) if where is None else where.any(-1)
    y = np.zeros(n, np.longdouble)
    for i in np.flatnonzero(live):
        mine = np.flatnonzero(live & (group == group[i]))
        here = mine[anchor[mine] == anchor[i]]
        if episode_stats == "per_trajectory":
            mine = mine[np.unique(trajectory[mine], return_index=True)[1]]
        episode = _relative(episode_return[i], episode_return[mine], kind, eps, raw=True)
        step = _relative(step_return[i], step_return[here], kind, eps, raw=False)
        y[i] = episode + step_weight * step
    return y if where is None else np.where(where, y[:, None], 0)


def _relative(x, members, kind, eps, raw):
    if members.size == 1:
        gap, std = (x if raw else x - x), 1
    else:
        mean = np.sum(members) / members.size
        gap, std = x - mean, np.sqrt(np.sum((members - mean) ** 2) / (members.size - 1))
    return gap if kind == "mean" else gap / (std + eps)


def DRAW(rng):
    n = rng.integers(1, 12)
    trajectory = rng.integers(0, 4, size=n)
    episode = rng.normal(size=4)[trajectory]
    ids = trajectory // 2, rng.integers(0, 3, size=n), trajectory
    return Case("random", (episode, rng.normal(size=n), *ids), condition=1e6)


def distinct_states_leave_the_episodes(form, case):
    episode, step, group, _, trajectory = case.args
    alone = np.arange(len(group))
    if "where" in case.options or not len(group):
        return None
    nothing = {**case.options, "step_weight": 0.0}
    one = form(episode, step, group, alone, trajectory, **case.options)
    return one, form(episode, step, group, alone, trajectory, **nothing)


def GOLDEN(load):
    """verl-agent (across steps), DrMAS (both conventions); float32."""
    z = load("gigpo__advantage")
    episode = np.sum(z["in_token_level_rewards"].astype(float), axis=-1)
    ids = z["in_group"], z["in_anchor_obs"], z["in_traj"]
    args = episode, z["in_step_returns"].astype(float), *ids
    where = {"where": z["in_response_mask"] != 0}
    for kind in ("mean", "mean_std"):
        for weight in (1.0, 0.5):
            case = Case(f"{kind}_{weight}", args, {**where, "kind": kind, "step_weight": weight})
            yield Golden(case, z[f"out_adv_{kind}_norm_w{weight}"], rtol=2e-6)
    z = load("gigpo__advantage_author")
    for kind in ("mean", "mean_std"):
        for stats in ("across_steps", "per_trajectory"):
            case = Case(f"{kind}_{stats}", args, {**where, "kind": kind, "episode_stats": stats})
            yield Golden(case, z[f"out_adv_{kind}_norm_{stats}"], rtol=2e-6)


IDENTITIES = (distinct_states_leave_the_episodes,)
