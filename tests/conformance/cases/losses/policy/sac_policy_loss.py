"""`sac_policy_loss`: entropy penalty less the value, exactly over all actions."""

import numpy as np

from anymax._conformance.oracles import log_weights, taking_part
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_Q = np.random.default_rng(72).normal(size=_EDGES.shape)
_BAD = np.where(_WHERE, _Q, np.nan)
_X, _V = logits(4, 3, seed=50), np.random.default_rng(73).normal(size=(4, 3))
_WEIGHT = np.asarray([1.0, 0.5, 0.0, 2.0])

CASES = [
    Case("edges", (_EDGES, _BAD), {"where": _WHERE, "reduction": "none", "temperature": 0.5},
         wrt=(0,), compiled=True),
    Case("mean", (_X, _V), wrt=(0,), smooth=True),
    Case("weighted", (_X, _V), {"weight": _WEIGHT, "temperature": np.asarray(0.5)},
         wrt=(0, "weight", "temperature"), smooth=True),
    Case("masked", (_X, _V), {"where": _WEIGHT[:, None] != 0}, wrt=(0,)),
    Case("nothing", (_X, _V), {"where": np.asarray(False)}, wrt=(0,)),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(logits, q, *, axis=-1, where=None, weight=None, temperature=1.0, reduction="mean"):
    keep = taking_part(logits, where)
    logp = log_weights(logits, keep, axis)
    logp = np.where(keep, logp, 0)
    terms = np.exp(logp) * (np.expand_dims(temperature, axis) * logp - q)
    loss = np.sum(np.where(keep, terms, 0), axis=axis)
    count = np.where(keep.any(axis), 1.0 if weight is None else weight, 0.0)
    loss = np.where(count != 0, loss * count, 0)
    if reduction == "mean":
        return np.sum(loss) / np.sum(count) if np.sum(count) else np.zeros(())
    return np.sum(loss) if reduction == "sum" else loss


def divergence_from_the_boltzmann_policy(form, case):
    from anymax import boltzmann_policy, log_softmax, soft_value, softmax

    x, q = case.args
    if case.options or not np.isfinite(x).all():
        return None
    gap = log_softmax(x) - np.log(boltzmann_policy(q))
    kl = np.sum(softmax(x) * gap, axis=-1)
    return form(x, q), np.mean(kl - soft_value(q))


IDENTITIES = (divergence_from_the_boltzmann_policy,)
