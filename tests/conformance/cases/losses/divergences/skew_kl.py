"""`skew_kl`: divergence of a teacher from a mixture with its student."""

import numpy as np

import anymax as am
from anymax._conformance.divergences import by_pairs, drawn_pair, kl, mixed, pair_cases

_EDGES, _MASKED, _BATCH, *_REST = pair_cases()

CASES = [
    _EDGES,
    _MASKED,
    _BATCH.with_("batch", alpha=0.25),
    _BATCH.with_("plain", alpha=0.0, smooth=False),
    _BATCH.with_("teacher", alpha=1.0, smooth=False, wrt=()),
    *_REST,
]
DRAW = drawn_pair


def ORACLE(student_logits, teacher_logits, *, alpha=0.1, **options):
    def cost(s, t):
        if alpha == 1.0:
            return np.zeros_like(t[..., 0]) + 0 * np.sum(np.where(t == -np.inf, 0, t), axis=-1)
        return kl(t, mixed(t, s, alpha) if alpha else s)

    return by_pairs(cost, student_logits, teacher_logits, **options)


def _without_skew_it_is_the_divergence(form, case):
    if case.options.get("alpha") != 0.0:
        return None
    options = {k: v for k, v in case.options.items() if k != "alpha"}
    plain = am.distillation_kl(*case.args, scale_by_t2=False, **options)
    return form(*case.args, **case.options), plain


IDENTITIES = (_without_skew_it_is_the_divergence,)
