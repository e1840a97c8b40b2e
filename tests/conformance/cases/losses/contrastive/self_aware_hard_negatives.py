"""`self_aware_hard_negatives`: clusters of queries, chosen greedily."""

import numpy as np

from anymax.testing import Case, logits

_Q, _C = logits(9, 3, seed=1) / 4, logits(9, 3, seed=2) / 4
_OWN = np.arange(9)
_SHARED = np.asarray([0, 1, 2, 0, 1, 2, 3, 3, 4])

CASES = [
    Case("pairs", (_Q, _C, _OWN), {"k": 2}, wrt=(), compiled=True),
    Case("shared", (_Q, _C, _SHARED), {"k": 2, "pool_factor": 2}, wrt=()),
    Case("labelled", (_Q, _C, _SHARED), {"k": 1, "labelled": True, "first_n": 2}, wrt=()),
    Case("used", (_Q, _C, _OWN), {"k": 3, "used": np.arange(9) % 3 == 1}, wrt=()),
    Case("ties", (np.ones((6, 2)), np.ones((6, 2)), np.arange(6)), {"k": 1}, wrt=()),
    Case("alone", (_Q[:1], _C[:1], _OWN[:1]), {}, wrt=()),
]


def ORACLE(
    query, candidates, positive, *, k=7, pool_factor=5, first_n=None, labelled=False, used=None
):
    taken = set() if used is None else set(np.nonzero(used)[0].tolist())
    anchors, rows = [], []
    for q in range(len(query)):
        if q in taken:
            continue
        likeness = [float(np.sum(query[q] * c)) for c in candidates]
        ranked = sorted(range(len(candidates)), key=lambda c: -likeness[c])[: 2 * k * pool_factor]
        to_q = [float(np.sum(query[q] * o)) for o in query]
        met = []
        for c in ranked:
            able = [o for o in range(len(query)) if positive[o] == c and o not in taken]
            if c == positive[q] or not able:
                continue
            met.append(max(able, key=lambda o: to_q[o]))
            if len(met) == (first_n or k * pool_factor):
                break
        if met:
            met = (met if labelled else sorted(met, key=lambda o: to_q[o]))[:k]
            taken |= {q, *met}
            anchors.append(q)
            rows.append(met + [-1] * (k - len(met)))
    return np.asarray(anchors, int), np.asarray(rows, int).reshape(-1, k)


def DRAW(rng):
    n, m, d = rng.integers(1, 9), rng.integers(1, 7), rng.integers(1, 4)
    arrays = rng.normal(size=(n, d)), rng.normal(size=(m, d)), rng.integers(0, m, size=n)
    return Case("drawn", arrays, {"k": int(rng.integers(1, 4))}, wrt=())


def _each_query_once(form, case):
    anchors, negatives = form(*case.args, **case.options)
    everyone = np.sort(np.concatenate([anchors, negatives[negatives >= 0]]))
    return everyone, np.unique(everyone)


EAGER = True
IDENTITIES = (_each_query_once,)
