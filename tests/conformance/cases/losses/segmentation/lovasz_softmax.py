"""Cases of lovasz_softmax."""

import numpy as np

from anymax._conformance.regions import (
    by_regions,
    drawn_region,
    jaccard_extension,
    region_cases,
)
from anymax.testing import Case

_TIES = np.asarray([[0.5, 0.5], [0.5, 0.5], [0.25, 0.75]])
_HARD = np.eye(3)[[0, 1, 1, 2]]
CASES = region_cases(shares=False)
CASES += [
    Case("ties", (_TIES, np.asarray([0, 1, 1])), {"reduction": "none"}, wrt=()),
    Case("hard", (_HARD, np.asarray([0, 1, 2, 2])), {"reduction": "none"}, wrt=()),
]  # fmt: skip
CASES = [c.with_(c.name, condition=4.0) for c in CASES]
DRAW = drawn_region


def ORACLE(p, y, **options):
    def cost(p, t):
        return jaccard_extension(np.abs(t - p), t > 0)

    return by_regions(cost, p, y, **options)


def _jaccard_loss_of_hard_predictions(form, case):
    if case.name != "hard":
        return None
    return form(*case.args, **case.options), np.asarray([0.0, 0.5, 0.5])


def _no_matter_in_what_order(form, case):
    p, y = case.args
    if set(case.options) - {"reduction"} or not y.size or not y.ndim:
        return None
    return form(p[::-1], y[::-1], **case.options), form(p, y, **case.options)


IDENTITIES = (_jaccard_loss_of_hard_predictions, _no_matter_in_what_order)
