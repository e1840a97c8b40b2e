"""Generalised cross entropy: generalized_cross_entropy."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, labelled_cases, log_softmax
from anymax.testing import Case, logits

_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])

CASES = [
    *labelled_cases(soft=False),
    Case("truncated", (_X, _Y), {"truncate": 0.125, "q": 0.5}),
    Case("absolute", (_X, _Y), {"q": 1.0}, smooth=True),
]


def _cost(z, t, lost, q, least):
    logp = log_softmax(z)
    p = 0 * z[0] if lost else np.exp(logp[np.argmax(t)])
    return (1 - np.maximum(p, least) ** q) / q


def ORACLE(logits, target, *, q=0.7, truncate=None, **options):
    least = 0.0 if truncate is None else truncate
    return by_examples(_cost, logits, target, np.longdouble(q), np.longdouble(least), **options)


def _cross_entropy_near_0(form, case):
    x, y = case.args
    if set(case.options) - {"weight", "reduction"} or not np.isfinite(x).all():
        return None
    return form(x, y, q=1e-17, **case.options), am.cross_entropy(x, y, **case.options)


def _bounded(form, case):
    """No label costs more than 1 / q."""
    x, y = case.args
    if not np.isfinite(x).all():
        return None
    options = {k: v for k, v in case.options.items() if k != "weight"}
    q = options.get("q", 0.7)
    loss = form(1e3 * x, y, **{**options, "reduction": "none"})
    return np.minimum(loss, 1 / q), loss


IDENTITIES = (_cross_entropy_near_0, _bounded)
