"""Cases of dice_loss."""

import numpy as np

import anymax as am
from anymax._conformance.regions import by_regions, drawn_region, region_cases
from anymax.testing import Case, Golden

CASES = region_cases()
CASES.append(CASES[2].with_("squared", squared=True))
CASES = [c.with_(c.name, condition=4.0) for c in CASES]
DRAW = drawn_region


def ORACLE(p, t, *, smooth=0.0, eps=1e-7, squared=False, **options):
    def cost(p, t):
        sizes = np.sum(p * p) + np.sum(t * t) if squared else np.sum(p) + np.sum(t)
        below = sizes / 2 + smooth
        return 1.0 - (np.sum(p * t) + smooth) / (eps if below < eps else below)

    return by_regions(cost, p, t, **options)


def _is_tversky(form, case):
    if "squared" in case.options:
        return None
    return form(*case.args, **case.options), am.tversky_loss(*case.args, **case.options)


IDENTITIES = (_is_tversky,)


def GOLDEN(load):
    """segmentation_models_pytorch: scores; optax: softmax inside, mean over classes."""
    z = load("classic-segmentation__dice_tversky")
    for n in range(2):
        options = {"axis": 1, "smooth": float(z[f"in_smooth_{n}"]), "reduction": "none"}
        args = (z[f"in_probs_{n}"], z[f"in_target_{n}"])
        yield Golden(Case(f"smp_{n}", args, options), 1.0 - z[f"out_dice_score_{n}"])
    probs = np.asarray(am.softmax(z["in_optax_logits"]))
    for n in range(2):
        case = Case(f"optax_{n}", (probs[n], z["in_optax_target"][n]), {"smooth": 1.0})
        yield Golden(case, z["out_optax_dice"][n], rtol=1e-7)
