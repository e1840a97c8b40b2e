"""Cases of hinge_loss."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax._conformance.margins import drawn_signs, signed_cases, signs_of
from anymax.testing import Case, Golden

CASES = signed_cases()
CASES += [CASES[3].with_("square", power=2, margin=0.5), CASES[0].with_("square_edges", power=2)]
DRAW = drawn_signs


def ORACLE(s, y, *, margin=1.0, power=1, where=None, weight=None, reduction="mean"):
    loss = np.maximum(0.0, margin - signs_of(y) * s) ** power
    if where is not None:
        loss = np.where(where, loss, 0.0)
    return reduced(loss, reduction, live=where, weight=weight)


def _odd_in_scores_and_signs(form, case):
    s, y = case.args
    if y.dtype == bool or np.isnan(s).any():
        return None
    return form(-s, -y, **case.options), form(s, y, **case.options)


IDENTITIES = (_odd_in_scores_and_signs,)


def GOLDEN(load):
    """optax.hinge_loss."""
    z = load("classic-hinge__multi_margin")
    for n in range(3):
        args = (z[f"in_binary_scores_{n}"], z[f"in_binary_target_pm1_{n}"])
        yield Golden(Case(str(n), args, {"reduction": "none"}), z[f"out_binary_hinge_{n}"])
