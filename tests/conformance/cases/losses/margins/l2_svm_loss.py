"""Cases of l2_svm_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples
from anymax._conformance.margins import label_cases, lost_target
from anymax.testing import Case, Golden, logits

_Z, _W = logits(3, 4, seed=3), logits(2, 4, seed=6)
_SIGNS = np.where(np.arange(12).reshape(3, 4) % 3 == 0, 1, -1)
_KEEP = np.arange(12).reshape(3, 4) % 5 != 0
_INF = np.where(np.arange(12).reshape(3, 4) == 3, -np.inf, _Z)

CASES = [c for c in label_cases() if c.name != "square"]
CASES += [
    Case("norm", (_Z, np.asarray([0, 3, 1])), {"w": _W, "C": 0.5}, wrt=(0, "w"), smooth=True),
    Case("signs", (_Z, _SIGNS), {"where": _KEEP, "weight": np.asarray([1.0, 0.5, 2.0, 0.25])}),
    Case("booleans", (_Z, _SIGNS > 0), {"power": 1, "margin": 0.75, "reduction": "none"}),
    Case("wrong_side", (_INF, _SIGNS.astype(float)), {"reduction": "none"}, wrt=(0,)),
]  # fmt: skip


def ORACLE(
    x, y, *, C=1.0, w=None, margin=1.0, power=2, axis=-1, where=None, weight=None, reduction="mean"
):
    t = y
    if y.ndim == x.ndim:  # as shares, so that what is masked is left out
        t = ((y > 0) & (True if where is None else where)).astype(np.longdouble)

    def cost(z, right, lost):
        sign = np.where(right > 0, 1.0, -1.0)
        return lost_target(z) if lost else np.sum(np.maximum(0.0, margin - sign * z) ** power)

    loss = C * by_examples(
        cost, x, t, axis=axis, where=where, weight=weight, reduction=reduction, finite=False
    )
    return loss if w is None else loss + np.sum(w * w) / 2


def _sums_binary_hinges(form, case):
    """The sum over the classes of the squared hinge on signs."""
    x, y = case.args
    if set(case.options) - {"reduction"} or case.options.get("reduction") == "none" or not x.size:
        return None
    sign = np.where(np.arange(x.shape[-1]) == y[..., None], 1, -1)
    whole = am.hinge_loss(x, sign, power=2, reduction="sum")
    return form(x, y, reduction="sum"), whole


IDENTITIES = (_sums_binary_hinges,)


def GOLDEN(load):
    """The authors' code, float32, from the hidden layer on; gradients go by its weights."""
    z = load("gru-svm__l2_svm")
    for n in range(2):
        options = {"C": float(z[f"in_C_{n}"]), "w": z[f"in_W_{n}"].astype(float)}
        args = (z[f"out_scores_{n}"].astype(float), z[f"in_y_{n}"])
        case = Case(str(n), args, {**options, "reduction": "sum"}, wrt=())
        yield Golden(case, z[f"out_loss_{n}"], rtol=1e-6)
