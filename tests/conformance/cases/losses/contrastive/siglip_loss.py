"""`siglip_loss`: telling matching pairs from all others."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax._conformance.pairs import apart, column, products, unit
from anymax.testing import Case, Golden, logits

_Q, _K = logits(6, 4, seed=1), logits(6, 4, seed=2)
_A, _B = logits(8, 3, seed=3).reshape(2, 4, 3), logits(8, 3, seed=4).reshape(2, 4, 3)
_NONE = {"reduction": "none"}
_WHERE = np.ones((6, 6), bool)
_WHERE[4], _WHERE[:, 4], _WHERE[2, 2], _WHERE[0, 3] = (False,) * 4
_HOLES, _NAN = _Q.copy(), _K.copy()
_HOLES[4, 1], _NAN[4, 0] = np.nan, np.inf
_BAD = _Q.copy()
_BAD[1, 2] = np.nan
_WRT = (0, 1, "temperature", "bias")

CASES = [
    Case("edges", (_HOLES, _NAN), {"where": _WHERE, **_NONE}, compiled=True),
    Case(
        "mean", (_A, _B), {"temperature": np.asarray(0.5), "bias": np.asarray(-2.0)}, _WRT,
        compiled=True, smooth=True,
    ),
    Case(
        "weighted", (_A, _B),
        {"weight": np.asarray([1.0, 0.0, 0.5, 2.0]), "bias": np.asarray([-1.0, 0, 1.0, -4.0]),
         "temperature": np.asarray([0.5, 1.0, 2.0, 0.25])}, _WRT, smooth=True,
    ),
    Case("far", (_Q, _K), {"normalize": False, "bias": -30.0, "temperature": 1.0, **_NONE}),
    Case("bad", (_BAD, _K), _NONE),
    Case("one", (_Q[:1], _K[:1]), {"reduction": "sum"}),
    Case("large", (logits(400, 5), logits(400, 5, seed=1)), large=True),
]  # fmt: skip


def ORACLE(
    image, text, *, temperature=0.1, bias=-10.0, normalize=True, where=None, weight=None,
    reduction="mean",
):  # fmt: skip
    z = products(unit(image, normalize), unit(text, normalize))
    z = z / column(temperature) + column(bias)
    part = apart(z, where)
    y = np.where(np.eye(z.shape[-1], dtype=bool), -z, z)
    cost = np.where(y > 0, y, 0) + np.log1p(np.exp(-np.abs(y)))
    cost = np.where(np.isnan(y), np.nan, cost)
    loss = np.sum(np.where(part, cost, 0), axis=-1)
    return reduced(loss, reduction, live=part.any(axis=-1), weight=weight)


def _sides_commute(form, case):
    """The sum over all pairs does not ask which is the image."""
    if case.options.get("reduction") or any(np.ndim(x) for x in case.options.values()):
        return None
    return form(*case.args[::-1], **case.options), form(*case.args, **case.options)


IDENTITIES = (_sides_commute,)


def GOLDEN(load):
    z = load("classic-contrastive__siglip")
    for i in range(2):
        scale = float(z[f"in_scale_{i}"])
        options = {
            "temperature": np.asarray(1 / scale), "bias": z[f"in_bias_{i}"], "normalize": False,
        }  # fmt: skip
        case = Case(str(i), (z[f"in_image_{i}"], z[f"in_text_{i}"]), options, _WRT)
        gradients = {
            0: z[f"out_grad_image_{i}"],
            1: z[f"out_grad_text_{i}"],
            "temperature": -(scale**2) * z[f"out_grad_scale_{i}"],
            "bias": z[f"out_grad_bias_{i}"],
        }
        yield Golden(case, z[f"out_siglip_{i}"], np.ones(()), gradients, rtol=1e-11)
