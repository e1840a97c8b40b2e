"""Fenchel-Young loss of normmax: normmax_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, labelled_cases
from anymax._conformance.fenchel_young import norm, off_kinks
from anymax.testing import Case, logits

_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_ALPHA = np.asarray([[1.5, 2.0, 2.5], [1.75, 2.25, 1.25]])

CASES = [
    *(case.mapped(off_kinks) for case in labelled_cases()),
    Case("orders", (_X, _Y), {"alpha": _ALPHA}, wrt=(0, "alpha"), smooth=True),
]


def ORACLE(logits, target, *, alpha=2.0, **options):
    return by_examples(norm, logits, target, alpha, **options)


def _by_its_weights(form, case):
    x, y = case.args
    if set(case.options) - {"reduction"} or y.dtype.kind == "f" or not np.isfinite(x).all():
        return None
    p, hot = am.normmax(x), np.arange(x.shape[-1]) == y[..., None]
    z = x - np.sum(x * hot, axis=-1, keepdims=True)
    sides = np.sum(p * z, axis=-1) - np.sqrt(np.sum(p * p, axis=-1)) + 1.0
    return form(x, y, reduction="none"), sides


IDENTITIES = (_by_its_weights,)
