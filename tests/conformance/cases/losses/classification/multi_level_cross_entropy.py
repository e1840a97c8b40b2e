"""`multi_level_cross_entropy`: surprise of a level, given one logit for all."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax.testing import Case

_RNG = np.random.default_rng(48)
_X = _RNG.normal(size=(2, 3, 4))
_Y = _RNG.integers(0, 4, size=(2, 3, 4))
_EDGE = np.asarray([0.0, 0.25, -0.25, 3.0, -3.0, 1e4, -1e4, np.inf, -np.inf, np.nan, np.nan])
_PART = np.arange(11) < 10
_LEVELS = np.asarray([0, 1, 2, 3, 0, 2, 3, 3, 1, 2, 1])
_WEIGHT = np.asarray([0.5, 1.0, 2.0, 0.0])
_K = np.asarray([[1.5], [2.0], [4.0]])
_LEARNT = {"steepness": _K, "spacing": _X**2 + 0.5, "weight": _WEIGHT, "where": _X < 1}
_ROWS = {"num_levels": 3, "where": _PART, "reduction": "none"}

CASES = [
    Case("edges", (_EDGE, _LEVELS), _ROWS, compiled=True, condition=4.0),
    Case("edges_binary", (_EDGE, _LEVELS), {"kind": "binary", **_ROWS}, compiled=True,
         condition=4.0),
    Case("mean", (_X, _Y), {"num_levels": 3}, smooth=True, condition=4.0),
    Case("learned", (_X, _Y), {"num_levels": 3, **_LEARNT},
         wrt=(0, "steepness", "spacing", "weight"), smooth=True, condition=8.0),
    Case("binary", (_X, _Y), {"num_levels": 3, "kind": "binary", **_LEARNT},
         wrt=(0, "steepness", "spacing", "weight"), smooth=True, condition=8.0),
    Case("one_level", (_X, _Y % 2), {"num_levels": 1, "reduction": "sum"}, condition=8.0),
    Case("scalar", (np.asarray(0.5), np.asarray(1)), {"num_levels": 2}),
    Case("empty", (np.zeros((0, 4)), np.zeros((0, 4), int)), {"num_levels": 2}),
]  # fmt: skip


def _log_sigmoid(a):
    return np.where(a >= 0, 0, a) - np.log1p(np.exp(np.where(a >= 0, -a, a)))


def ORACLE(
    x, target, *, num_levels, steepness=10.0, spacing=0.5, kind="ordered", where=None, weight=None,
    reduction="mean",
):  # fmt: skip
    loss = np.zeros(x.shape, np.longdouble)
    k, h = (np.broadcast_to(p, x.shape) for p in (steepness, spacing))
    for place in np.ndindex(x.shape):
        y, n = target[place], num_levels
        u = k[place] * (x[place] - h[place] * (np.arange(1, n + 1) - (n + 1) / 2))
        if kind == "binary":
            loss[place] = -np.sum(_log_sigmoid(np.where(np.arange(1, n + 1) <= y, u, -u)))
            continue
        loss[place] = -(_log_sigmoid(u[y - 1]) if y else 0) - (_log_sigmoid(-u[y]) if y < n else 0)
        if 0 < y < n:
            loss[place] -= np.log(-np.expm1(-k[place] * h[place]))
    weight = None if weight is None else weight[target]
    return reduced(loss, reduction, live=where, weight=weight)


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=rng.integers(0, 3)))
    n = int(rng.integers(1, 5))
    args = np.asarray(rng.normal(size=shape)), np.asarray(rng.integers(0, n + 1, size=shape))
    options = {"num_levels": n, "kind": str(rng.choice(["ordered", "binary"]))}
    return Case("drawn", args, options, condition=8.0)


def _surprise_of_the_ordered_logit(form, case):
    x, y = case.args
    if set(case.options) - {"num_levels"}:
        return None
    n = case.options["num_levels"]
    t = 0.5 * (np.arange(1, n + 1) - (n + 1) / 2)
    logp = am.ordered_logit_log_softmax(x, t, steepness=10.0)
    picked = np.take_along_axis(logp, y[..., None], axis=-1)
    return form(x, y, num_levels=n), -np.sum(picked) / max(x.size, 1)


IDENTITIES = (_surprise_of_the_ordered_logit,)
