"""`soft_cross_entropy`: cross entropy of a student under a teacher."""

import numpy as np

import anymax as am
from anymax._conformance.divergences import by_pairs, drawn_pair, pair_cases
from anymax.testing import Case, Golden

_EDGES, _MASKED, _BATCH, *_REST = pair_cases()

CASES = [
    _EDGES,
    _MASKED,
    _BATCH,
    _BATCH.with_("floored", eps=1e-3),
    _EDGES.with_("floored_edges", eps=1e-3, compiled=False),
    *_REST,
]
DRAW = drawn_pair


def ORACLE(student_logits, teacher_logits, *, eps=0.0, **options):
    def cost(s, t):
        part = t != -np.inf
        loss = np.log(np.exp(s) + eps) if eps else np.where(part, s, 0)
        lost = part & (loss == -np.inf)
        share = np.where(part, np.exp(t), 0)
        loss = -np.sum(np.where(part, share * np.where(lost, 0, loss), 0), axis=-1)
        return loss + np.where(lost.any(axis=-1), np.inf, 0)

    return by_pairs(cost, student_logits, teacher_logits, **options)


def _divergence_and_entropy(form, case):
    if case.name != "batch":
        return None
    s, t = case.args
    options = {**case.options, "reduction": "none"}
    kl = am.distillation_kl(s, t, scale_by_t2=False, **options)
    return form(s, t, **options), kl + form(t, t, **options)


IDENTITIES = (_divergence_and_entropy,)


def GOLDEN(load):
    """The official loss has 1e-10 in its logarithm; its gradient is that of the mean."""
    for n in range(2):
        z = load(f"stacking__soft_cross_entropy_eps_{n}")
        args = z["in_student"], z["in_teacher"]
        mean = Case(f"mean_{n}", args, {"eps": 1e-10}, wrt=(0,))
        yield Golden(mean, z["out_mean"], np.ones(()), {0: z["out_dstudent"]})
        rows = z["out_loss"].reshape(args[0].shape[:-1])
        yield Golden(Case(f"rows_{n}", args, {"eps": 1e-10, "reduction": "none"}), rows)
