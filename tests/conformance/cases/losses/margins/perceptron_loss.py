"""Cases of perceptron_loss."""

import numpy as np

import anymax as am
from anymax._conformance.identities import shift_invariant
from anymax._conformance.margins import hinges, label_cases, of_labels
from anymax.testing import Case, Golden

CASES = label_cases(power=False)
CASES.append(Case("ties", (np.ones((2, 3)), np.asarray([0, 2])), wrt=()))
ORACLE = of_labels(lambda z, i, power, margin: np.max(hinges(z, i, 0.0), initial=0.0))


def _is_crammer_singer_without_margin(form, case):
    options = {**case.options, "margin": 0.0}
    return form(*case.args, **case.options), am.crammer_singer_loss(*case.args, **options)


IDENTITIES = (shift_invariant, _is_crammer_singer_without_margin)


def GOLDEN(load):
    """optax.multiclass_perceptron_loss."""
    z = load("classic-hinge__multi_margin")
    for n in range(3):
        args = (z[f"in_scores_{n}"], z[f"in_target_{n}"])
        yield Golden(Case(str(n), args, {"reduction": "none"}), z[f"out_perceptron_{n}"])
