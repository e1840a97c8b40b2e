"""`multi_level_quadratic_loss`: squared distance of the multi-level activation from a level."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax.testing import Case

_RNG = np.random.default_rng(47)
_X = _RNG.normal(size=(2, 3, 4))
_Y = _RNG.integers(0, 4, size=(2, 3, 4))
_EDGE = np.asarray([0.0, 0.25, -0.25, 3.0, -3.0, 1e4, -1e4, np.inf, -np.inf, np.nan, np.nan])
_PART = np.arange(11) < 10
_LEVELS = np.asarray([0, 1, 2, 3, 0, 2, 3, 3, 1, 2, 1])
_WEIGHT = np.asarray([0.5, 1.0, 2.0, 0.0])
_K = np.asarray([[1.5], [2.0], [4.0]])
_LEARNT = {"steepness": _K, "spacing": _X**2 + 0.5, "weight": _WEIGHT, "where": _X < 1}

CASES = [
    Case("edges", (_EDGE, _LEVELS), {"num_levels": 3, "where": _PART, "reduction": "none"},
         compiled=True, condition=4.0),
    Case("mean", (_X, _Y), {"num_levels": 3, "steepness": 2.0}, smooth=True, compiled=True,
         condition=4.0),
    Case("learned", (_X, _Y), {"num_levels": 3, **_LEARNT},
         wrt=(0, "steepness", "spacing", "weight"), smooth=True, condition=8.0),
    Case("one_level", (_X, _Y % 2), {"num_levels": 1, "reduction": "sum"}, condition=8.0),
    Case("scalar", (np.asarray(0.5), np.asarray(1)), {"num_levels": 2}),
    Case("empty", (np.zeros((0, 4)), np.zeros((0, 4), int)), {"num_levels": 2}),
]  # fmt: skip


def ORACLE(
    x, target, *, num_levels, steepness=10.0, spacing=0.5, where=None, weight=None,
    reduction="mean",
):  # fmt: skip
    i = np.arange(1, num_levels + 1).reshape(-1, *[1] * x.ndim)
    u = steepness * (x - spacing * (i - (num_levels + 1) / 2))
    side = np.where(i <= target, -1, 1)  # a - y, each step's miss by itself: longdouble cancels too
    u = u * side
    s = np.where(u >= 0, 1 / (1 + np.exp(-u)), np.exp(u) / (1 + np.exp(u)))
    weight = None if weight is None else weight[target]
    return reduced(np.sum(side * s, axis=0) ** 2, reduction, live=where, weight=weight)


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=rng.integers(0, 3)))
    n = int(rng.integers(1, 5))
    args = np.asarray(rng.normal(size=shape)), np.asarray(rng.integers(0, n + 1, size=shape))
    return Case("drawn", args, {"num_levels": n, "steepness": 4.0}, condition=8.0)


def _distance_of_the_activation(form, case):
    x, y = case.args
    if {"where", "weight"} & set(case.options) or "reduction" in case.options:
        return None
    a = am.multi_level_activation(x, **case.options)
    return form(x, y, **case.options), np.sum((a - y) ** 2) / max(x.size, 1)


IDENTITIES = (_distance_of_the_activation,)
