"""`soft_value`: tempered logsumexp of the values of actions."""

import numpy as np

from anymax._conformance.oracles import logsumexp, taking_part
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_PRIOR = np.log(np.asarray([0.25, 0.125, 0.25, 0.125, 0.125, 0.125]))
_PRIOR[1] = -np.inf
_PRIOR = np.tile(_PRIOR, (9, 1))
_X = logits(6, 5, seed=46).reshape(2, 3, 5) / 4.0
_P = np.random.default_rng(70).normal(size=(2, 3, 5))

CASES = [
    Case("edges", (_EDGES,), {"where": _WHERE, "temperature": 0.5}, compiled=True),
    Case("prior", (_EDGES,), {"log_prior": _PRIOR, "temperature": 2.0}, wrt=(0, "log_prior"),
         compiled=True),
    Case("smooth", (_X,), smooth=True),
    Case(
        "everything", (_X,),
        {"log_prior": _P, "temperature": np.asarray([[[0.5]], [[2.0]]]),
         "where": np.arange(5) != 3},
        wrt=(0, "log_prior", "temperature"), smooth=True, condition=16.0,
    ),
    Case("learned", (_EDGES[[0, 3, 4]],), {"temperature": np.asarray(0.5)}, wrt=(0, "temperature")),
    Case("one", (_X[0, 0],)),
    Case("no_action", (np.zeros((2, 0)),)),
]  # fmt: skip


def ORACLE(q, *, axis=-1, where=None, temperature=1.0, log_prior=None):
    prior = np.zeros(q.shape) if log_prior is None else np.broadcast_to(log_prior, q.shape)
    keep = taking_part(q, where) & (prior != -np.inf)
    z = np.where(keep, q / temperature + np.where(keep, prior, 0), -np.inf)
    lse = logsumexp(z, keep, axis)
    t = np.squeeze(temperature, axis) if np.ndim(temperature) else temperature
    return np.where(lse == -np.inf, -np.inf, t * lse)


def value_plus_log_policy(form, case):
    """q = V + tau log(pi / prior), on average over the policy."""
    from anymax import boltzmann_policy

    (q,) = case.args
    t = case.options.get("temperature", 1.0)
    if not np.isfinite(q).all() or "where" in case.options or not q.size:
        return None
    if np.ndim(t) or "log_prior" in case.options:
        return None
    p = boltzmann_policy(q, **case.options)
    entropy = np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=-1)
    return form(q, **case.options), np.sum(p * q, axis=-1) - t * entropy


IDENTITIES = (value_plus_log_policy,)
