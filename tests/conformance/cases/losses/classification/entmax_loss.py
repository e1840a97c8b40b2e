"""Fenchel-Young loss of entmax of any order: entmax_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, labelled_cases
from anymax._conformance.fenchel_young import tsallis
from anymax.testing import Case, Golden, logits

_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_SOFT = np.asarray(np.arange(30).reshape(2, 3, 5) % 5 + 0.5) / 12.5
_ALPHA = np.asarray([[1.25, 1.5, 2.0], [1.125, 1.75, 1.0078125]])

CASES = [
    *labelled_cases(alpha=1.25)[:2],
    Case("orders", (_X, _Y), {"alpha": _ALPHA}, wrt=(0, "alpha"), smooth=True),
    Case("soft", (_X, _SOFT), {"alpha": _ALPHA[:1]}, wrt=(0, 1, "alpha"), smooth=True),
    Case("one_order", (_X, _Y), {"alpha": np.asarray(1.75), "reduction": "none"}, smooth=True),
    Case("softmax", (_X, _SOFT), {"alpha": 1.0}, wrt=(0, 1), smooth=True),
    Case("past_2", (_X, _Y), {"alpha": 3.0}, condition=10.0),
]


def ORACLE(logits, target, *, alpha=1.5, **options):
    return by_examples(tsallis, logits, target, alpha, **options)


def _cross_entropy_at_1(form, case):
    x, y = case.args
    if y.dtype.kind == "f" or "weight" in case.options:
        return None
    options = {**case.options, "alpha": 1.0}
    plain = {k: v for k, v in options.items() if k != "alpha"}
    return form(x, y, **options), am.cross_entropy(x, y, **plain)


def _sparsemax_at_2(form, case):
    plain = {k: v for k, v in case.options.items() if k != "alpha"}
    return form(*case.args, **{**plain, "alpha": 2.0}), am.sparsemax_loss(*case.args, **plain)


IDENTITIES = (_cross_entropy_at_1, _sparsemax_at_2)


def GOLDEN(load):
    for name in ("small", "ties", "mid", "onelong"):
        z = load(f"classic-entmax__{name}")
        options = {"alpha": 1.25, "reduction": "none"}
        case = Case(name, (z["in_logits"], z["in_labels"]), options)
        loss = z["out_loss_entmax_bisect_a1p25"]
        gradients = {0: z["out_grad_loss_entmax_bisect_a1p25"]}
        yield Golden(case, loss, np.ones(loss.shape), gradients, rtol=1e-11)
