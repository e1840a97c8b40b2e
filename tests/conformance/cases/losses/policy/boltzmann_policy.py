"""`boltzmann_policy`: softmax of the values of actions around a prior."""

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_PRIOR = np.tile(np.asarray([-1.5, -np.inf, -1.25, -2.0, -2.0, -2.25]), (6, 1))
_X = logits(6, 5, seed=47).reshape(2, 3, 5) / 4.0
_P = np.random.default_rng(71).normal(size=(2, 3, 5))

CASES = [
    Case("edges", (_EDGES,), {"where": _WHERE}, compiled=True),
    Case("prior", (_EDGES[[0, 1, 3, 4, 5, 6]],), {"log_prior": _PRIOR, "temperature": 2.0},
         wrt=(0, "log_prior"), compiled=True, condition=16.0),
    Case("smooth", (_X,), smooth=True),
    Case(
        "everything", (_X,),
        {"log_prior": _P, "temperature": np.asarray([[[0.5]], [[2.0]]]),
         "where": np.arange(5) != 3},
        wrt=(0, "log_prior", "temperature"), smooth=True, condition=64.0,
    ),
    Case("one", (_X[0, 0],), condition=16.0),
    Case("no_action", (np.zeros((2, 0)),)),
]  # fmt: skip


def ORACLE(q, *, axis=-1, where=None, temperature=1.0, log_prior=None):
    prior = np.zeros(q.shape) if log_prior is None else np.broadcast_to(log_prior, q.shape)
    keep = taking_part(q, where) & (prior != -np.inf)
    return weights(np.where(keep, q / temperature + np.where(keep, prior, 0), -np.inf), keep, axis)
