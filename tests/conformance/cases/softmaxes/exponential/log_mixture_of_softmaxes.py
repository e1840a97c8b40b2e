"""`log_mixture_of_softmaxes`: logarithm of a mixture of softmaxes."""

import numpy as np

from anymax._conformance.oracles import log_weights, logsumexp, taking_part
from anymax.testing import Case, Golden, logits

_RNG = np.random.default_rng(14)
_X, _P = logits(12, 4, seed=5).reshape(2, 2, 3, 4), _RNG.normal(size=(2, 2, 3))
_EDGES = np.stack([logits(3, 4, seed=6)] * 7)
_PRIOR = np.tile(np.asarray([0.5, -1.0, 1.0]), (7, 1))
_EDGES[0, 1], _PRIOR[0, 1] = np.nan, -np.inf  # an expert that takes no part may hold anything
_EDGES[1, 2] = -np.inf  # an expert without a class
_EDGES[2, 0, 1] = np.nan
_EDGES[3, :, 2] = -np.inf
_PRIOR[4] = -np.inf
_PRIOR[5, 0] = np.nan
_EDGES[5, :, 3] = -np.inf
_EDGES[6] *= 512.0
_KEEP = np.asarray([True, True, False, True])

CASES = [
    Case("edges", (_EDGES, _PRIOR), compiled=True),
    Case("masked", (_EDGES, _PRIOR), {"where": _KEEP}, compiled=True),
    Case("smooth", (_X, _P), smooth=True),
    Case("masks", (_X, _P), {"where": _RNG.uniform(size=(2, 2, 4)) < 0.7}, smooth=True),
    Case("floor", (_X, _P), {"eps": 1e-8}, smooth=True, condition=16.0),
    Case("one_expert", (_X[..., :1, :], _P[..., :1])),
    Case("shared_prior", (_X, _P[0, 0])),
    Case("no_expert", (np.zeros((2, 0, 3)), np.zeros((2, 0)))),
    Case("no_class", (np.zeros((2, 3, 0)), np.zeros((2, 3)))),
]
INTEGERS = (0, 1)


def ORACLE(logits, prior_logits, *, where=None, eps=0.0):
    where = None if where is None else where[..., None, :] if where.ndim > 1 else where
    prior = np.broadcast_to(prior_logits, logits.shape[:-1])
    keep = taking_part(logits, where) & (prior != -np.inf)[..., None]
    log_p, share = log_weights(logits, keep), log_weights(prior, prior != -np.inf)[..., None]
    log_p = logsumexp(np.where(keep, log_p + share, -np.inf), keep, -2)
    if not eps:
        return log_p
    return np.where(np.any(keep, axis=-2), np.log(np.exp(log_p) + eps), -np.inf)


def logarithm_of_the_mixture(form, case):
    from anymax import mixture_of_softmaxes

    if case.options.get("eps"):
        return None
    return np.exp(form(*case.args, **case.options)), mixture_of_softmaxes(
        *case.args, **case.options
    )


IDENTITIES = (logarithm_of_the_mixture,)


def GOLDEN(load):
    """The official log(p + 1e-8)."""
    z = load("classic-mixture-of-softmaxes__large")
    args = z["in_logits"], z["in_prior_logits"]
    yield Golden(Case("floor", args, {"eps": 1e-8}), z["out_log_prob_eps"])
