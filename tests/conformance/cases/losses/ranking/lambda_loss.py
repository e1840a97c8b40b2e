"""Cases of lambda_loss."""

import numpy as np

from anymax._conformance.identities import shift_invariant
from anymax._conformance.lists import drawn_list, list_cases, list_gains, of_lists, padded, places
from anymax.testing import Case, Golden

CASES = list_cases()
CASES += [
    CASES[2].with_("first_two", k=2, sigma=2.0),
    CASES[2].with_("ndcgLoss1", scheme="ndcgLoss1"),
    CASES[2].with_("ndcgLoss2++", scheme="ndcgLoss2++", mu=4.0),
    CASES[0].with_("capped", scheme="ranknet", eps=2.0**-10, wrt=()),
]
CASES = [c.with_(c.name, condition=8.0) for c in CASES]
DRAW = drawn_list


@of_lists
def ORACLE(s, r, *, scheme="lambdarank", k=None, sigma=1.0, mu=10.0, eps=0.0):
    place, gain = places(s).astype(np.longdouble), list_gains(r, k)
    some = (place[:, None] <= (k or s.size)) & (place <= (k or s.size))
    if scheme != "ndcgLoss1":
        some = some & (r[:, None] > r)
    inverse = 1.0 / np.log2(1.0 + place)
    gap = np.abs(gain[:, None] - gain)
    apart = np.abs(place[:, None] - place) + 1.0 * np.eye(s.size)
    first = np.abs(inverse[:, None] - inverse) * gap
    second = np.abs(1.0 / np.log2(1.0 + apart) - 1.0 / np.log2(2.0 + apart)) * gap
    w = {
        "lambdarank": first,
        "ndcgLoss1": (gain * inverse)[:, None] + 0.0 * gap,
        "ndcgLoss2": second,
        "ndcgLoss2++": mu * second + first,
        "ranknet": np.ones_like(gap),
    }[scheme]
    d = sigma * (s[:, None] - s)
    cost = np.logaddexp(np.zeros_like(d), -d)
    if eps:
        cost = np.minimum(np.minimum(cost, -np.log(eps)) * w, -np.log(eps))
    else:
        cost = cost * w
    return np.sum(cost[some]) / np.log(np.longdouble(2.0))


IDENTITIES = (shift_invariant,)


def GOLDEN(load):
    """allRank's lambdaLoss, whose discounts are float32."""
    z = load("classic-ranking__ranking")
    names = {
        "lambdaRank": "lambdarank",
        "ndcgLoss1": "ndcgLoss1",
        "ndcgLoss2": "ndcgLoss2",
        "ndcgLoss2PP": "ndcgLoss2++",
        "rankNet": "ranknet",
    }
    for n in range(2):
        args, options = padded(load, n)
        for name, scheme in names.items():
            options = {**options, "scheme": scheme, "eps": 1e-10, "reduction": "sum"}
            expected = z[f"out_{name}_scheme_{n}"]
            rtol = 1e-12 if scheme == "ranknet" else 1e-7
            yield Golden(Case(f"{name}_{n}", args, options), expected, rtol=rtol)
