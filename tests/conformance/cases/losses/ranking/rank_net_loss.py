"""Cases of rank_net_loss."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax._conformance.identities import shift_invariant
from anymax._conformance.lists import by_lists, drawn_list, list_cases, padded
from anymax.testing import Case, Golden

CASES = list_cases()
CASES.append(CASES[2].with_("gaps", weighted=True, sigma=2.0))
DRAW = drawn_list


def ORACLE(s, r, *, sigma=1.0, weighted=False, axis=-1, where=None, weight=None, reduction="mean"):
    def pairs(z, t):
        gap = t[:, None] - t
        cost = np.logaddexp(np.zeros(gap.shape, np.longdouble), -sigma * (z[:, None] - z))
        cost = cost * gap if weighted else cost
        return np.sum(cost[gap > 0]), np.sum(gap > 0)

    (total, count), live = by_lists(pairs, s, r, axis=axis, where=where)
    if reduction == "mean":
        total, count = (reduced(z, "sum", live=live, weight=weight) for z in (total, count))
        return total / count if count else total
    mean = np.where(count == 0, 0.0, total / np.where(count == 0, 1.0, count))
    return reduced(mean, reduction, live=live, weight=weight)


IDENTITIES = (shift_invariant,)


def GOLDEN(load):
    """allRank's rankNet, a mean in float32."""
    for n in range(2):
        args, options = padded(load, n)
        expected = load("classic-ranking__ranking")[f"out_ranknet_{n}"]
        yield Golden(Case(str(n), args, options), expected, rtol=1e-6)
