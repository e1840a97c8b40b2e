"""Cases of margin_ranking_loss."""

import functools

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.margins import drawn_signs, signed_cases, signs_of
from anymax.testing import Case, logits


def _other(case):
    x, y = case.args
    return 0.5 * logits(3, 5, seed=14) if x.shape == (3, 5) else 0.4375 + 0.0 * y


CASES = [
    Case(
        case.name,
        (case.args[0], _other(case), case.args[1]),
        {"margin": 0.25, **case.options},
        wrt=case.wrt and (0, 1),
        compiled=case.compiled,
        smooth=case.smooth,
    )
    for case in signed_cases()
]  # fmt: skip
CASES += [
    Case("no_margin", (logits(2, 3), logits(2, 3, seed=5), np.asarray([[1, -1, 1]] * 2))),
    Case("broadcast", (logits(2, 3), logits(1, 3, seed=5)[0], np.asarray([1, -1, 1]))),
]
INTEGERS = (0, 1)
DRAW = functools.partial(drawn_signs, scores=2)


def ORACLE(x1, x2, y, *, margin=0.0, where=None, weight=None, reduction="mean"):
    loss = np.maximum(0.0, margin - signs_of(y) * (x1 - x2))
    if where is not None:
        loss = np.where(where, loss, 0.0)
    return reduced(loss, reduction, live=where, weight=weight)


def _is_the_hinge_of_the_difference(form, case):
    x1, x2, y = case.args
    if np.isinf(x1).any():
        return None
    return form(*case.args, **case.options), am.hinge_loss(
        x1 - x2, y, **{"margin": 0.0} | case.options
    )


IDENTITIES = (_is_the_hinge_of_the_difference,)
