"""Cases of ndcg."""

import numpy as np

import anymax as am
from anymax._conformance.identities import shift_invariant
from anymax._conformance.lists import by_lists, drawn_list, list_cases, list_gains, places

CASES = []
for _case in list_cases():
    _options = {k: v for k, v in _case.options.items() if k not in ("reduction", "weight")}
    CASES.append(type(_case)(_case.name, _case.args, _options, wrt=(), compiled=_case.compiled))
CASES.append(CASES[2].with_("first_two", k=2))
DRAW = drawn_list


def ORACLE(s, r, *, k=None, axis=-1, where=None):
    def one(z, t):
        place = places(z).astype(np.longdouble)
        return np.sum((list_gains(t, k) / np.log2(1.0 + place))[place <= (k or z.size)])

    return by_lists(one, s, r, axis=axis, where=where)[0][0]


def _limit_of_the_approximation(form, case):
    s, r = case.args
    if case.name != "mean":
        return None
    approximate = am.approx_ndcg_loss(s, r, alpha=1e4, reduction="none", **case.options)
    return form(s, r, **case.options), -approximate


IDENTITIES = (shift_invariant, _limit_of_the_approximation)
