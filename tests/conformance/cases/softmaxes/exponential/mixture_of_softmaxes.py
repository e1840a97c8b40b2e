"""`mixture_of_softmaxes`: mixture of softmaxes."""

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case, Golden, logits

_RNG = np.random.default_rng(14)
_X, _P = logits(12, 4, seed=5).reshape(2, 2, 3, 4), _RNG.normal(size=(2, 2, 3))
_EDGES = np.stack([logits(3, 4, seed=6)] * 6)
_PRIOR = np.tile(np.asarray([0.5, -1.0, 1.0]), (6, 1))
_EDGES[0, 1], _PRIOR[0, 1] = np.nan, -np.inf  # an expert that takes no part may hold anything
_EDGES[1, 2] = -np.inf  # an expert without a class
_EDGES[2, 0, 1] = np.nan
_EDGES[3, :, 2] = -np.inf
_PRIOR[4] = -np.inf
_PRIOR[5, 0] = np.nan
_EDGES[5, :, 3] = -np.inf
_KEEP = np.asarray([True, True, False, True])

CASES = [
    Case("edges", (_EDGES, _PRIOR), compiled=True),
    Case("masked", (_EDGES, _PRIOR), {"where": _KEEP}, compiled=True),
    Case("smooth", (_X, _P), smooth=True),
    Case("masks", (_X, _P), {"where": _RNG.uniform(size=(2, 2, 4)) < 0.7}, smooth=True),
    Case("one_expert", (_X[..., :1, :], _P[..., :1])),
    Case("shared_prior", (_X, _P[0, 0])),
    Case("matrix", (_X[0, 0], _P[0, 0])),
    Case("no_expert", (np.zeros((2, 0, 3)), np.zeros((2, 0)))),
    Case("no_class", (np.zeros((2, 3, 0)), np.zeros((2, 3)))),
]
INTEGERS = (0, 1)


def ORACLE(logits, prior_logits, *, where=None):
    where = None if where is None else where[..., None, :] if where.ndim > 1 else where
    prior = np.broadcast_to(prior_logits, logits.shape[:-1])
    keep = taking_part(logits, where) & (prior != -np.inf)[..., None]
    p, share = weights(logits, keep), weights(prior, prior != -np.inf)[..., None]
    return np.sum(np.where(keep, share * p, 0), axis=-2)


def one_expert_is_softmax(form, case):
    from anymax import softmax

    x, prior = case.args
    if x.shape[-2] != 1:
        return None
    return form(x, prior, **case.options), softmax(x[..., 0, :], **case.options)


def experts_have_no_order(form, case):
    x, prior = case.args
    turned = form(x[..., ::-1, :], np.broadcast_to(prior, x.shape[:-1])[..., ::-1], **case.options)
    return turned, form(x, prior, **case.options)


IDENTITIES = (one_expert_is_softmax, experts_have_no_order)


def GOLDEN(load):
    """The lines of the official model's forward pass."""
    z = load("classic-mixture-of-softmaxes__large")
    yield Golden(Case("large", (z["in_logits"], z["in_prior_logits"])), z["out_prob"])
