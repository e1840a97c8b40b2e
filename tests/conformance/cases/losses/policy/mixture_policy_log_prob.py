"""`mixture_policy_log_prob`: a policy that chooses an option, then an item."""

import numpy as np

from anymax._conformance.oracles import log_weights, logsumexp, taking_part
from anymax.testing import Case, logits

_RNG = np.random.default_rng(68)
_X, _O = logits(12, 4, seed=44).reshape(2, 2, 3, 4), _RNG.normal(size=(2, 2, 3))
_EDGES, _OPTION = _X.copy(), _O.copy()
_EDGES[0, 0, 1], _OPTION[0, 0, 1] = np.nan, -np.inf  # an option that is never chosen
_EDGES[1, 1, :, 2] = -np.inf
_KEEP = np.asarray([True, True, False, True])

CASES = [
    Case("edges", (_EDGES, _OPTION), {"where": _KEEP}, compiled=True),
    Case("smooth", (_X, _O), smooth=True),
    Case("one_option", (_X[..., :1, :], _O[..., :1])),
]
INTEGERS = (0, 1)


def ORACLE(item_logits, option_logits, *, where=None):
    keep = taking_part(item_logits, where) & (option_logits != -np.inf)[..., None]
    share = log_weights(option_logits, option_logits != -np.inf)[..., None]
    return logsumexp(np.where(keep, log_weights(item_logits, keep) + share, -np.inf), keep, -2)


def probabilities_sum_to_one(form, case):
    y = form(*case.args, **case.options)
    return np.sum(np.exp(y), axis=-1), np.ones(y.shape[:-1])


IDENTITIES = (probabilities_sum_to_one,)
