"""`logit_lens_kl`: divergence of a layer's read-out from the final distribution."""

import anymax as am
from anymax._conformance.divergences import by_pairs, drawn_pair, kl, pair_cases

_EDGES, _MASKED, _BATCH, *_REST = pair_cases(tempered=False)

CASES = [_EDGES, _MASKED, _BATCH, _BATCH.with_("forward", direction="forward"), *_REST]
DRAW = drawn_pair


def ORACLE(layer_logits, final_logits, *, direction="reverse", **options):
    def cost(a, b):
        return kl(a, b) if direction == "reverse" else kl(b, a)

    return by_pairs(cost, layer_logits, final_logits, **options)


def _is_distillation_kl(form, case):
    options = {"direction": "reverse", **case.options}
    return form(*case.args, **case.options), am.distillation_kl(*case.args, **options)


def _zero_for_one_distribution(form, case):
    if case.name != "batch":
        return None
    x = case.args[0]
    return form(x, x + 2.5, **case.options), 0.0


IDENTITIES = (_is_distillation_kl, _zero_for_one_distribution)
