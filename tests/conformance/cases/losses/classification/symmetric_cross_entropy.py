"""Symmetric cross entropy: symmetric_cross_entropy."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, labelled_cases, log_softmax
from anymax.testing import Case, logits

_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])

CASES = [
    *(
        case.with_(case.name, wrt=(0,)) if case.name == "soft" else case
        for case in labelled_cases()
    ),
    Case("robust", (_X, _Y), {"alpha": 0.0, "where": np.arange(5) != 3}),
]


def _cost(z, t, lost, alpha, beta, floor):
    logp = log_softmax(z)
    log_t = np.maximum(np.log(t), floor)
    first = 0.0 if alpha == 0 else np.inf if lost else -alpha * np.sum(t * logp)
    return first - beta * np.sum(np.exp(logp) * log_t)


def ORACLE(logits, target, *, alpha=0.1, beta=1.0, log_zero=-4.0, **options):
    numbers = (np.longdouble(v) for v in (alpha, beta, log_zero))
    return by_examples(_cost, logits, target, *numbers, **options)


def _cross_entropy_alone(form, case):
    x, y = case.args
    options = {k: v for k, v in case.options.items() if k != "alpha"}
    if y.dtype.kind == "f":
        return None
    return form(x, y, alpha=0.5, beta=0.0, **options), 0.5 * am.cross_entropy(x, y, **options)


def _symmetric(form, case):
    """The second term sums to one number over all labels, whatever the logits are."""
    x, n = case.args[0], case.args[0].shape[-1]
    if not np.isfinite(x).all() or not x.size:
        return None
    labels = [np.full(x.shape[:-1], c) for c in range(n)]
    total = sum(form(x, y, alpha=0.0, log_zero=-6.0, reduction="none") for y in labels)
    return total, np.full(total.shape, 6.0 * (n - 1))


IDENTITIES = (_cross_entropy_alone, _symmetric)
