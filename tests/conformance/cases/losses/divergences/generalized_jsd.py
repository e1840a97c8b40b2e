"""`generalized_jsd`: divergences of a student and a teacher from their mixture."""

import numpy as np

from anymax._conformance.divergences import by_pairs, drawn_pair, kl, mixed, pair_cases
from anymax.testing import Case, Golden

_EDGES, _MASKED, _BATCH, *_REST = pair_cases()
_APART = np.asarray([[0.0, -2048.0], [2048.0, 0.5]]), np.asarray([[-2048.0, 0.0], [0.5, 2048.0]])

CASES = [
    _EDGES,
    _MASKED,
    _BATCH,
    _BATCH.with_("skewed", beta=0.125, scale_by_t2=True),
    _BATCH.with_("forward", beta=0.0, smooth=False),
    _BATCH.with_("reverse", beta=1.0, smooth=False),
    Case("apart", _APART, {"beta": 0.25, "reduction": "none"}),
    *_REST,
]
DRAW = drawn_pair


def ORACLE(student_logits, teacher_logits, *, beta=0.5, scale_by_t2=False, **options):
    def cost(s, t):
        if beta in (0.0, 1.0):
            return kl(t, s) if beta == 0.0 else kl(s, t)
        m = mixed(t, s, beta)
        return beta * kl(t, m) + (1 - beta) * kl(s, m)

    return by_pairs(cost, student_logits, teacher_logits, squared=scale_by_t2, **options)


def _mirrored(form, case):
    s, t = case.args
    beta = case.options.get("beta", 0.5)
    return form(s, t, **case.options), form(t, s, **{**case.options, "beta": 1.0 - beta})


IDENTITIES = (_mirrored,)


def GOLDEN(load):
    """TRL: sums of rows, and means over the tokens whose label is not -100."""
    z = load("classic-distillation-kl__kl_jsd")
    for n in range(3):
        args = z[f"in_student_{n}"], z[f"in_teacher_{n}"]
        for beta in (0.0, 0.1, 0.5, 1.0):
            options = {"beta": beta, "reduction": "sum", "temperature": _TEMPERATURES[n]}
            case = Case(f"{beta}_{n}", args, options, wrt=(0,))
            grads = {0: z[f"out_grad_trl_jsd_beta{beta}_{n}"]}
            yield Golden(case, z[f"out_trl_jsd_beta{beta}_{n}"], np.ones(()), grads, rtol=1e-11)
    z = load("classic-distillation__gkd_jsd_mid")
    args, keep = (z["in_student_logits"], z["in_teacher_logits"]), z["in_labels"] != -100
    for beta in (0.0, 0.1, 0.5, 0.9, 1.0):
        for t in (1.0, 2.0):
            options = {"beta": beta, "temperature": t}
            mean = Case(f"tokens_{beta}_{t}", args, {**options, "where": keep[..., None]})
            yield Golden(mean, z[f"out_beta{beta}_T{t}"], rtol=1e-11)
            total = Case(f"sum_{beta}_{t}", args, {**options, "reduction": "sum"})
            yield Golden(total, z[f"out_none_beta{beta}_T{t}_sum"], rtol=1e-11)


_TEMPERATURES = (1.0, 4.0, 2.0)
