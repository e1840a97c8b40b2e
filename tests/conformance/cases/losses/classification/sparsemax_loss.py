"""Sparsemax loss: sparsemax_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, labelled_cases
from anymax._conformance.fenchel_young import off_kinks, tsallis
from anymax._conformance.identities import shift_invariant
from anymax.testing import Case, Golden

CASES = [case.mapped(off_kinks) for case in labelled_cases()]


def ORACLE(logits, target, **options):
    return by_examples(tsallis, logits, target, np.longdouble(2), **options)


def _half_the_distance(form, case):
    """Of a label: half of |p - t|^2 less |x - p|^2 over what has weight; here by its formula."""
    x, y = case.args
    if set(case.options) - {"reduction"} or y.dtype.kind == "f" or not np.isfinite(x).all():
        return None
    p, hot = am.sparsemax(x), np.arange(x.shape[-1]) == y[..., None]
    z = x - np.sum(x * hot, axis=-1, keepdims=True)
    sides = np.sum(p * z - p * p / 2, axis=-1) + 0.5
    return form(x, y, reduction="none"), sides


def _shift_invariant(form, case):
    return None if case.args[1].dtype.kind == "f" else shift_invariant(form, case)


IDENTITIES = (_half_the_distance, _shift_invariant)


def GOLDEN(load):
    for name in ("small", "ties", "mid", "onelong"):
        z = load(f"classic-entmax__{name}")
        case = Case(name, (z["in_logits"], z["in_labels"]), {"reduction": "none"})
        loss = z["out_loss_sparsemax"]
        gradients = {0: z["out_grad_loss_sparsemax"]}
        yield Golden(case, loss, np.ones(loss.shape), gradients, rtol=1e-11)
