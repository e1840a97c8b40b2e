"""Cases of crammer_singer_loss."""

import numpy as np

import anymax as am
from anymax._conformance.identities import shift_invariant
from anymax._conformance.margins import hinges, label_cases, of_labels
from anymax.testing import Case, Golden

CASES = label_cases(power=False)
CASES += [
    CASES[2].with_("half_margin", margin=0.5),
    Case("ties", (np.asarray([[1.0, 1.0, 1.0], [0.5, 0.5, 1.5]]), np.asarray([2, 2])), wrt=()),
    Case("two", (np.asarray([[1.0, 0.25], [0.5, 2.0]]), np.asarray([0, 0])), smooth=True),
]
ORACLE = of_labels(lambda z, i, power, margin: np.max(hinges(z, i, margin), initial=0.0))


def _weston_watkins_of_two_classes(form, case):
    if case.args[0].shape[-1] != 2:
        return None
    return form(*case.args, **case.options), am.weston_watkins_loss(*case.args, **case.options)


IDENTITIES = (shift_invariant, _weston_watkins_of_two_classes)


def GOLDEN(load):
    """optax.multiclass_hinge_loss."""
    z = load("classic-hinge__multi_margin")
    for n in range(3):
        args = (z[f"in_scores_{n}"], z[f"in_target_{n}"])
        yield Golden(Case(str(n), args, {"reduction": "none"}), z[f"out_crammer_singer_{n}"])
