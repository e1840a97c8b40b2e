"""`distillation_kl`: divergence between the softmaxes of a student and a teacher."""

import numpy as np

import anymax as am
from anymax._conformance.divergences import by_pairs, drawn_pair, kl, pair_cases
from anymax.testing import Case, Golden

_EDGES, _MASKED, _BATCH, *_REST = pair_cases()

CASES = [
    _EDGES,
    _MASKED,
    _BATCH,
    _EDGES.with_("reverse_edges", direction="reverse", compiled=False),
    _BATCH.with_("reverse", direction="reverse", scale_by_t2=False),
    *_REST,
]
DRAW = drawn_pair


def ORACLE(
    student_logits, teacher_logits, *, direction="forward", scale_by_t2=True, **options
):  # fmt: skip
    def cost(s, t):
        return kl(t, s) if direction == "forward" else kl(s, t)

    return by_pairs(cost, student_logits, teacher_logits, squared=scale_by_t2, **options)


def _directions_are_mirrored(form, case):
    s, t = case.args
    options = {k: v for k, v in case.options.items() if k != "direction"}
    other = "forward" if case.options.get("direction") == "reverse" else "reverse"
    return form(s, t, **case.options), form(t, s, direction=other, **options)


def _is_kl_div(form, case):
    if case.name != "weighted":
        return None
    where = case.options["where"]
    s, t = (am.log_softmax(x, where=where) for x in case.args)
    return form(*case.args, **case.options), am.kl_div(s, t, log_target=True, **case.options)


IDENTITIES = (_directions_are_mirrored, _is_kl_div)


def GOLDEN(load):
    """torch, batchmean times the square of the temperature."""
    z = load("classic-distillation-kl__kl_jsd")
    for n in range(3):
        args = z[f"in_student_{n}"], z[f"in_teacher_{n}"]
        for direction in ("forward", "reverse"):
            options = {"direction": direction, "temperature": float(z[f"in_temperature_{n}"])}
            case = Case(f"{direction}_{n}", args, options, wrt=(0,))
            grads = {0: z[f"out_grad_{direction}_{n}"]}
            yield Golden(case, z[f"out_{direction}_kl_{n}"], np.ones(()), grads)
