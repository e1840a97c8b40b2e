"""`leave_one_out_advantage`: rewards less the mean of the others of their group."""

import numpy as np

from anymax.testing import Case

_G = np.asarray([3, -1, 3, 8, -1, 3, 5, 5, 5, 9])
_R = np.asarray([0.5, 1.0, -1.25, 2.0, -0.5, 1.0, 0.1, 0.1, 0.1, 1.5])
_BAD = _R.copy()
_BAD[2], _BAD[9] = np.nan, np.inf  # masked
_BAD[4] = np.nan  # poisons its group
_WHERE = np.asarray([True, True, False, True, True, True, True, True, True, False])

CASES = [
    Case("edges", (_BAD, _G), {"where": _WHERE}, compiled=True, condition=64.0),
    Case("smooth", (_R, _G), smooth=True, condition=64.0),
    Case("zero", (_R, _G), {"singleton": "zero"}, condition=64.0),
    Case("none", (_R[:0], _G[:0])),
]


def ORACLE(reward, group, *, singleton="raw", where=None):
    keep = np.broadcast_to(True if where is None else where, reward.shape)
    y = np.zeros(reward.shape, np.longdouble)
    for i in np.flatnonzero(keep):
        others = reward[keep & (group == group[i]) & (np.arange(len(reward)) != i)]
        if others.size:
            y[i] = np.sum(reward[i] - others) / others.size
        else:
            y[i] = reward[i] if singleton == "raw" else 0
    return y


def DRAW(rng):
    n = rng.integers(1, 12)
    return Case("random", (rng.normal(size=n), rng.integers(-2, 3, size=n)), condition=1e5)


def group_means_over_the_others(form, case):
    from anymax import group_relative_advantage

    reward, group = case.args
    if "where" in case.options or not reward.size:
        return None
    n = np.sum(group == group[:, None], axis=-1)
    mean = group_relative_advantage(reward, group, kind="mean", **case.options)
    return form(reward, group, **case.options), mean * np.where(n > 1, n / np.maximum(n - 1, 1), 1)


IDENTITIES = (group_means_over_the_others,)
