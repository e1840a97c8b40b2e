"""`lagrange_multiplier_loss`: what raises a multiplier while its reward is too small."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(67)
_M, _R, _THETA = _RNG.normal(size=3), _RNG.normal(size=(5, 3)), np.asarray([0.5, -0.25, 1.0])
_WHERE = np.ones((5, 3), bool)
_WHERE[1, 0] = False
_WHERE[:, 2] = False  # no episode counts
_BAD = np.where(_WHERE, _R, np.nan)

CASES = [
    Case("masked", (_M, _BAD, _THETA), {"where": _WHERE}, wrt=(0,), compiled=True, condition=64.0),
    Case("sigmoid", (_M, _R, _THETA), wrt=(0,), smooth=True, condition=64.0),
    Case("tanh", (_M, _R, _THETA), {"squash": "tanh"}, wrt=(0,), condition=64.0),
    Case("raw", (_M, _R[0], _THETA), {"squash": None}, wrt=(0,), condition=64.0),
    Case("none", (_M, _R[:0], _THETA), wrt=(0,)),
]
INTEGERS = (0, 1, 2)


def ORACLE(multiplier, episode_return, threshold, *, squash="sigmoid", where=None):
    keep = np.broadcast_to(True if where is None else where, episode_return.shape)
    total = np.longdouble(0)
    for i, raw in enumerate(multiplier):
        r = episode_return[..., i][keep[..., i]]
        mu = {"sigmoid": 1 / (1 + np.exp(-raw)), "tanh": np.tanh(raw), None: raw}[squash]
        total += mu * (np.sum(r) / r.size - threshold[i]) if r.size else 0
    return total


def DRAW(rng):
    n, k = rng.integers(1, 5, size=2)
    args = rng.normal(size=k), rng.normal(size=(n, k)), rng.normal(size=k)
    return Case("random", args, condition=1e5)


def GOLDEN(load):
    """ConstrainedRL4LMs."""
    for squash in ("sigmoid", "tanh"):
        z = load(f"constrained-rlhf__mixed_advantage_{squash}")
        args = z["in_lagrange_raw"], z["in_ep_constraint_return"], z["in_thresholds"]
        case = Case(squash, args, {"squash": squash}, wrt=(0,))
        yield Golden(case, z["out_lagrange_loss"], np.ones(()), {0: z["out_lagrange_grad"]})
