"""Cases of approx_ndcg_loss."""

import numpy as np

from anymax._conformance.identities import shift_invariant
from anymax._conformance.lists import drawn_list, list_cases, list_gains, of_lists, padded
from anymax.testing import Case, Golden

CASES = list_cases()
CASES.append(CASES[2].with_("steep", alpha=4.0))
DRAW = drawn_list


@of_lists
def ORACLE(s, r, *, alpha=1.0):
    above = 1.0 / (1.0 + np.exp(alpha * (s[:, None] - s)))
    position = 0.5 + np.sum(above, axis=-1)  # an item is above itself by half
    return -np.sum(list_gains(r) / np.log2(1.0 + position))


IDENTITIES = (shift_invariant,)


def GOLDEN(load):
    """allRank's approxNDCGLoss, whose discounts are float32."""
    for n in range(2):
        args, options = padded(load, n)
        expected = load("classic-ranking__ranking")[f"out_approx_ndcg_{n}"]
        yield Golden(Case(str(n), args, options), expected, rtol=1e-7)
