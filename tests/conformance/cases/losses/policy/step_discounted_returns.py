"""`step_discounted_returns`: discounted rewards to come, in each trajectory."""

import numpy as np

from anymax.testing import Case, Golden

_R = np.asarray([0.5, 1.0, -1.25, 2.0, -0.5, 1.0, 0.25])
_T = np.asarray([4, 0, 4, 0, 4, -3, 0])
_BAD = _R.copy()
_BAD[2] = np.nan
_GAMMA = {"gamma": np.asarray(0.5)}

CASES = [
    Case("edges", (_BAD, _T), compiled=True, condition=16.0),
    Case("smooth", (_R, _T), _GAMMA, wrt=(0, "gamma"), smooth=True, condition=64.0),
    Case("now", (_BAD, _T), {"gamma": 0.0}, condition=16.0),
    Case("sums", (_R, np.zeros(7, int)), {"gamma": 1.0}, condition=64.0),
    Case("none", (_R[:0], _T[:0])),
]


def ORACLE(reward, trajectory, *, gamma=0.95):
    y, ahead = np.zeros(reward.shape, np.longdouble), {}
    for i in reversed(range(len(reward))):
        t = int(trajectory[i])
        y[i] = ahead[t] = reward[i] + (gamma * ahead.get(t, 0) if gamma else 0)
    return y


def DRAW(rng):
    n = rng.integers(1, 12)
    return Case("random", (rng.normal(size=n), rng.integers(-2, 3, size=n)), condition=1e4)


def GOLDEN(load):
    """verl-agent, in float32."""
    z = load("gigpo__advantage")
    args = z["in_step_rewards"].astype(float), z["in_traj"]
    for gamma in (1.0, 0.95):
        case = Case(f"gamma_{gamma}", args, {"gamma": gamma})
        yield Golden(case, z[f"out_step_returns_gamma{gamma}"], rtol=1e-6)
