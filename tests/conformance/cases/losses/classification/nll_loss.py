"""Negative log-likelihood: nll_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, labelled_cases
from anymax.testing import Case, logits

_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, -100, 1]])

CASES = [*labelled_cases(soft=False), Case("ignored", (_X, _Y), {"ignore_index": 4}, smooth=True)]
CASES[-1] = CASES[-1].with_("ignored", _X, np.maximum(_Y, 0))


def _cost(z, t, lost):
    return np.inf if lost else -z[np.argmax(t)]


def ORACLE(logp, target, *, ignore_index=-100, **options):
    return by_examples(_cost, logp, target, ignore_index=ignore_index, finite=False, **options)


def _cross_entropy(form, case):
    x, y = case.args
    if not np.isfinite(x).all() or "where" in case.options:
        return None
    return form(am.log_softmax(x), y, **case.options), am.cross_entropy(x, y, **case.options)


IDENTITIES = (_cross_entropy,)
