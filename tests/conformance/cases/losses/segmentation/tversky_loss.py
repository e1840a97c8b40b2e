"""Cases of tversky_loss."""

import numpy as np

from anymax._conformance.regions import by_regions, drawn_region, region_cases
from anymax.testing import Case, Golden

_OPTIONS = {"alpha": 0.25, "beta": 0.75}
CASES = [c.with_(c.name, **_OPTIONS) for c in region_cases()]
CASES += [
    CASES[2].with_("focal", gamma=1.5),
    Case("perfect", (np.eye(3), np.arange(3)), {**_OPTIONS, "gamma": 0.5}, wrt=()),
]
CASES = [c.with_(c.name, condition=4.0) for c in CASES]
DRAW = drawn_region


def ORACLE(p, t, *, alpha=0.5, beta=0.5, gamma=1.0, smooth=0.0, eps=1e-7, **options):
    def cost(p, t):
        right = np.sum(p * t)
        below = right + alpha * (np.sum(p) - right) + beta * (np.sum(t) - right) + smooth
        return (1.0 - (right + smooth) / (eps if below < eps else below)) ** gamma

    return by_regions(cost, p, t, **options)


def GOLDEN(load):
    """segmentation_models_pytorch: scores; alpha and beta 1 are Jaccard."""
    z = load("classic-segmentation__dice_tversky")
    for n in range(2):
        plain = {"axis": 1, "smooth": float(z[f"in_smooth_{n}"]), "reduction": "none"}
        args = (z[f"in_probs_{n}"], z[f"in_target_{n}"])
        options = {**plain, "alpha": float(z[f"in_alpha_{n}"]), "beta": float(z[f"in_beta_{n}"])}
        yield Golden(Case(f"tversky_{n}", args, options), 1.0 - z[f"out_tversky_score_{n}"])
        options = {**plain, "alpha": 1.0, "beta": 1.0}
        yield Golden(Case(f"jaccard_{n}", args, options), 1.0 - z[f"out_jaccard_score_{n}"])
