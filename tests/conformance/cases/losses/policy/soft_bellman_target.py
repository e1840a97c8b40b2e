"""`soft_bellman_target`: reward and the discounted soft value of what follows."""

import numpy as np

from anymax._conformance.oracles import logsumexp, taking_part
from anymax.testing import Case, logits

_R = np.asarray([0.5, -1.0, 2.0, 0.25])
_Q = logits(4, 3, seed=48) / 4.0
_DONE = np.asarray([False, True, False, False])
_EDGES = _Q.copy()
_EDGES[1], _EDGES[2, 0] = np.nan, -np.inf
_WHERE = np.asarray([[True] * 3, [True] * 3, [True, True, False], [True, False, True]])
_PRIOR = np.asarray([-1.0, -0.5, -2.0])

CASES = [
    Case("edges", (_R, _EDGES, _DONE), {"where": _WHERE, "gamma": 0.5}, compiled=True,
         condition=64.0),
    Case("smooth", (_R, _Q, _DONE), {"temperature": np.asarray(0.5), "gamma": np.asarray(0.875)},
         wrt=(0, 1, "temperature", "gamma"), smooth=True, condition=256.0),
    Case("prior", (_R, _Q, _DONE.astype(int)), {"log_prior": _PRIOR, "temperature": 2.0},
         wrt=(0, 1, "log_prior"), condition=256.0),
    Case("no_action", (_R, _Q, _DONE), {"where": np.asarray(False)}),
    Case("first_axis", (_R, np.moveaxis(_Q, -1, 0), _DONE), {"axis": 0}, condition=256.0),
]  # fmt: skip


def ORACLE(
    reward, next_q, done, *, gamma=0.99, axis=-1, where=None, temperature=1.0, log_prior=None
):
    prior = (
        np.zeros(next_q.shape) if log_prior is None else np.broadcast_to(log_prior, next_q.shape)
    )
    keep = taking_part(next_q, where) & (prior != -np.inf)
    z = np.where(keep, next_q / temperature + np.where(keep, prior, 0), -np.inf)
    lse = logsumexp(z, keep, axis)
    value = np.where(lse == -np.inf, -np.inf, temperature * lse)
    return reward + np.where(done != 0, 0, gamma * value)


def DRAW(rng):
    n, a = rng.integers(1, 6, size=2)
    args = rng.normal(size=n), rng.normal(size=(n, a)), rng.uniform(size=n) < 0.5
    return Case("random", args, condition=1e4)
