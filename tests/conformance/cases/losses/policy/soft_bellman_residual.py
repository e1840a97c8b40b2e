"""`soft_bellman_residual`: error of the soft Bellman equation between neighbouring states."""

import numpy as np

from anymax._conformance.policies import LOGP, OLD, WHERE
from anymax.testing import Case

_V = np.random.default_rng(74).normal(size=LOGP.shape)
_R = np.asarray([1.0, 0.0, 1.0, 0.5, 1.0])
_STATES = WHERE & (np.arange(4) != 2)
_HIDE = lambda x, keep: np.where(keep, x, np.nan)  # noqa: E731
_BAD = (_HIDE(LOGP, WHERE), _HIDE(OLD, WHERE), _HIDE(_V, _STATES), _HIDE(_R, _STATES.any(-1)))
_LATE = LOGP.copy()
_LATE[3, 3] = np.nan  # spreads to its own state only

CASES = [
    Case("edges", _BAD, {"where": WHERE, "states": _STATES, "beta": 0.5}, wrt=(0, 2),
         compiled=True, condition=64.0),
    Case("smooth", (LOGP, OLD, _V, _R), wrt=(0, 2), smooth=True, condition=64.0),
    Case("nan", (_LATE, OLD, _V, _R), wrt=(), condition=64.0),
    Case("one", (LOGP[0], OLD[0], _V[0], _R[0]), {"states": np.arange(4) == 1}, wrt=(0, 2),
         condition=64.0),
]  # fmt: skip
INTEGERS = (0, 1, 2, 3)


def ORACLE(logp, ref_logp, value, reward, *, beta=0.03, states=None, where=None):
    keep = np.broadcast_to(True if where is None else where, logp.shape)
    states = keep if states is None else np.broadcast_to(states, logp.shape)
    y = np.zeros(logp.shape, np.longdouble)
    for row in np.ndindex(logp.shape[:-1]):
        places = np.flatnonzero(states[row])
        for n, t in enumerate(places):
            end = places[n + 1] if n + 1 < len(places) else logp.shape[-1]
            part = slice(t, end)
            d = np.sum((logp[row][part] - ref_logp[row][part])[keep[row][part]])
            behind = value[row][end] if end < logp.shape[-1] else reward[row]
            y[row][t] = value[row][t] - behind + beta * d
    return y


def DRAW(rng):
    b, t = rng.integers(1, 5, size=2)
    args = (*rng.normal(size=(3, b, t)), rng.normal(size=b))
    return Case("random", args, {"where": rng.uniform(size=(b, t)) < 0.7}, condition=1e5)
