"""`symmetric_kl_div`: half the sum of two divergences."""

import numpy as np

from anymax._conformance.divergences import by_pairs, drawn_pair, kl, pair_cases
from anymax.testing import Case, Golden

# The constant targets' derivative is that of no value; golden gradients judge it.
CASES = [
    *pair_cases(tempered=False, smooth=False),
    *(
        case.with_(f"{case.name}_free", stop_gradient=False, compiled=False)
        for case in pair_cases(tempered=False)
    ),
]
DRAW = drawn_pair


def ORACLE(x_logits, y_logits, *, stop_gradient=True, **options):
    def cost(p, q):
        return (kl(p, q) + kl(q, p)) / 2

    return by_pairs(cost, x_logits, y_logits, **options)


def _symmetric(form, case):
    return form(*case.args, **case.options), form(*case.args[::-1], **case.options)


IDENTITIES = (_symmetric,)


def GOLDEN(load):
    for n in range(2):
        z = load(f"mosa__symmetric_kl_{n}")
        case = Case(str(n), (z["in_x"], z["in_y"]), wrt=(0, 1))
        yield Golden(case, z["out_loss"], np.ones(()), {0: z["out_dx"], 1: z["out_dy"]})
