"""`group_relative_advantage`: rewards relative to those of their group."""

import numpy as np

from anymax.testing import Case

_G = np.asarray([3, -1, 3, 8, -1, 3, 5, 5, 5, 9])
_R = np.asarray([0.5, 1.0, -1.25, 2.0, -0.5, 1.0, 0.1, 0.1, 0.1, 1.5])
_BAD = _R.copy()
_BAD[2], _BAD[9] = np.nan, np.inf  # masked
_BAD[4] = np.nan  # poisons its group
_WHERE = np.asarray([True, True, False, True, True, True, True, True, True, False])
_X, _Y = np.random.default_rng(64).normal(size=8), np.asarray([0, 1, 0, 1, 1, 0, 2, 2])

CASES = [  # of a group whose rewards are equal, the slope of the deviation is that of a corner
    Case("edges", (_BAD, _G), {"where": _WHERE}, wrt=(), compiled=True, condition=64.0),
    Case("zero", (_R, _G), {"singleton": "zero", "eps": 1e-4}, wrt=(), condition=64.0),
    Case("no_eps", (_R, _G), {"eps": 0.0}, wrt=(), condition=64.0),
    Case("mean", (_BAD, _G), {"kind": "mean", "where": _WHERE}, condition=64.0),
    Case("smooth", (_X, _Y), {"eps": 0.25}, smooth=True, condition=256.0),
    Case("masked", (_X, _Y), {"where": _Y != 2, "eps": 0.25}, condition=256.0),
    Case("none", (_X[:0], _Y[:0])),
]


def ORACLE(reward, group, *, kind="mean_std", eps=1e-6, singleton="raw", where=None):
    keep = np.broadcast_to(True if where is None else where, reward.shape)
    y = np.zeros(reward.shape, np.longdouble)
    for i in np.flatnonzero(keep):
        x = reward[keep & (group == group[i])]
        if x.size == 1:
            mean, std = (0 if singleton == "raw" else x[0]), 1
        else:
            mean = x[0] + np.sum(x - x[0]) / x.size
            std = np.sqrt(np.sum((x - mean) ** 2) / (x.size - 1))
        gap = reward[i] - mean
        y[i] = gap if kind == "mean" else 0 if std + eps == 0 else gap / (std + eps)
    return y


def DRAW(rng):
    n = rng.integers(1, 12)
    args = rng.normal(size=n), rng.integers(-2, 3, size=n)
    return Case("random", args, {"eps": 0.25}, condition=1e5)


def order_does_not_matter(form, case):
    reward, group = case.args
    options = {k: v[::-1] if k == "where" else v for k, v in case.options.items()}
    return form(reward[::-1], group[::-1], **options)[::-1], form(reward, group, **case.options)


IDENTITIES = (order_does_not_matter,)
