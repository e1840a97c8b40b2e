"""`demographic_parity`: difference between the mean predictions of two groups."""

import numpy as np

from anymax.testing import Case, Golden, logits

_P = logits(1, 7, seed=2)[0] / 8.0
_G = np.arange(7) % 3 == 0
_KEEP = np.arange(7) % 4 != 2

CASES = [
    Case("plain", (_P, _G), compiled=True, smooth=True),
    Case("signed", (_P, _G), {"signed": True}, smooth=True),
    Case("masked", (np.where(_KEEP, _P, np.nan), _G), {"where": _KEEP, "signed": True},
         compiled=True),
    Case("bad", (np.where(_KEEP, _P, np.nan), _G)),
    Case("empty_group", (_P, np.zeros(7, bool))),
    Case("nothing", (np.zeros(0), np.zeros(0, bool))),
]  # fmt: skip


def ORACLE(pred, group, *, signed=False, where=None):
    keep = np.broadcast_to(True if where is None else where, pred.shape)
    ours, others = pred[group & keep], pred[~group & keep]
    if not ours.size or not others.size:
        return np.longdouble(0.0)
    difference = np.mean(ours) - np.mean(others)
    return difference if signed else np.abs(difference)


def DRAW(rng):
    n = rng.integers(2, 9)
    return Case("drawn", (rng.uniform(size=n), np.arange(n) % 2 == 0), condition=1e4)


def GOLDEN(load):
    """The official sign of the difference is a result of its own."""
    z = load("aranyani__parity_mmd")
    args = z["in_pred"].astype(float), z["in_protected"] == 1
    yield Golden(Case("absolute", args), z["out_dp"])
    yield Golden(Case("signed", args, {"signed": True}), z["out_dp"] * z["out_sign"])
