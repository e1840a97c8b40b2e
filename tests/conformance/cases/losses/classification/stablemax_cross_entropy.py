"""Cross entropy under stablemax: stablemax_cross_entropy."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, labelled_cases
from anymax.testing import Case, Golden


def _bent(slot, x):
    """No logit of 0, where the second derivative jumps and differences are no good."""
    return np.where(x == 0, 0.375, x) if slot == 0 else x


CASES = [case.mapped(_bent) for case in labelled_cases()]


def _cost(z, t, lost):
    g = np.sign(z) * np.log1p(np.abs(z))
    top = np.max(g)
    return np.inf if lost else np.sum(t * (top + np.log(np.sum(np.exp(g - top))) - g))


def ORACLE(logits, target, **options):
    return by_examples(_cost, logits, target, **options)


def _cross_entropy_of_signed_logs(form, case):
    x, y = case.args
    if y.dtype.kind == "f" or not np.isfinite(x).all():
        return None
    mapped = np.sign(x) * np.log1p(np.abs(x))
    return form(x, y, **case.options), am.cross_entropy(mapped, y, **case.options)


IDENTITIES = (_cross_entropy_of_signed_logs,)


def GOLDEN(load):
    for name in ("small", "large"):
        z = load(f"grokking-edge__stablemax_{name}")
        args = (z["in_logits"], z["in_labels"])
        mean = Case(f"{name}_mean", args)
        yield Golden(mean, z["out_loss_mean"], np.ones(()), {0: z["out_grad_logits"]})
        yield Golden(Case(f"{name}_none", args, {"reduction": "none"}), z["out_loss_none"])
