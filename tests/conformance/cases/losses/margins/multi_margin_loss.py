"""Cases of multi_margin_loss."""

import numpy as np

from anymax._conformance.identities import shift_invariant
from anymax._conformance.margins import hinges, label_cases, of_labels
from anymax.testing import Case, Golden

CASES = label_cases()
ORACLE = of_labels(
    lambda z, i, power, margin: np.sum(hinges(z, i, margin) ** power) / z.size, by_count=True
)
IDENTITIES = (shift_invariant,)


def GOLDEN(load):
    """torch.nn.functional.multi_margin_loss."""
    z = load("classic-hinge__multi_margin")
    for n in range(3):
        args = (z[f"in_scores_{n}"], z[f"in_target_{n}"])
        options = {"power": int(z[f"in_p_{n}"]), "margin": float(z[f"in_margin_{n}"])}
        expected = z[f"out_weston_watkins_over_C_{n}"]
        gradients = {0: z[f"out_grad_ww_{n}"]}
        yield Golden(
            Case(f"{n}_none", args, {**options, "reduction": "none"}),
            expected,
            np.ones(expected.shape),
            gradients,
        )
        yield Golden(
            Case(f"{n}_weighted", args, {**options, "weight": z[f"in_weight_{n}"]}),
            z[f"out_weighted_mean_{n}"],
        )
