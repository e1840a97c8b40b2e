"""Sigmoid focal loss: sigmoid_focal_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import binary_edges, drawn_binary, log_sigmoid, reduced
from anymax.testing import Case, Golden, logits

_EDGES, _HARD = binary_edges()
_X = logits(4, 3, seed=2)
_HIT = (np.arange(12).reshape(4, 3) % 3 == 0).astype(float)
_SOFT = np.arange(12).reshape(4, 3) % 5 / 4.0
_KEEP = np.arange(12).reshape(4, 3) % 4 != 1
_WEIGHT = np.asarray([[1.0], [0.5], [0.0], [2.0]])

CASES = [
    Case("edges", (_EDGES, _HARD), {"gamma": 0.5, "reduction": "none"}, wrt=(0,), compiled=True),
    Case("soft", (_X, _SOFT), {"alpha": 0.75}, wrt=(0,), smooth=True),
    Case("plain", (_X, _HIT), {"alpha": None, "gamma": 0.0}, wrt=(0,), smooth=True),
    Case(
        "masked", (np.where(_KEEP, _X, np.nan), _HIT), {"where": _KEEP, "weight": _WEIGHT},
        wrt=(0, "weight"), compiled=True,
    ),
    Case("labels", (_X, _HIT.astype(int)), {"gamma": 1.0, "reduction": "sum"}, smooth=True),
    Case("all_masked", (_X, _HIT), {"where": np.zeros((4, 1), bool)}, wrt=(0,)),
]  # fmt: skip

DRAW = drawn_binary


def ORACLE(
    logits, target, *, alpha=0.25, gamma=2.0, where=None, weight=None, reduction="mean"
):  # fmt: skip
    y = target.astype(np.longdouble)
    right, wrong = log_sigmoid(logits), log_sigmoid(-logits)
    cost = -np.where(y == 0, 0, y * right) - np.where(y == 1, 0, (1 - y) * wrong)
    miss = (1 - y) * np.exp(right) + y * np.exp(wrong)
    share = 1.0 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    return reduced(share * miss**gamma * cost, reduction, live=where, weight=weight)


def _binary_cross_entropy_at_0(form, case):
    options = {k: v for k, v in case.options.items() if k in ("where",)}
    plain = am.binary_cross_entropy_with_logits(*case.args, reduction="none", **options)
    return form(*case.args, alpha=None, gamma=0.0, reduction="none", **options), plain


IDENTITIES = (_binary_cross_entropy_at_0,)


def GOLDEN(load):
    """torchvision, where alpha -1 stands for None."""
    z = load("classic-focal__sigmoid_focal")
    for n in range(4):
        alpha, gamma = float(z[f"in_alpha_{n}"]), float(z[f"in_gamma_{n}"])
        options = {"alpha": None if alpha < 0 else alpha, "gamma": gamma, "reduction": "none"}
        case = Case(str(n), (z[f"in_logits_{n}"], z[f"in_target_{n}"]), options)
        loss = z[f"out_loss_{n}"]
        yield Golden(case, loss, np.ones(loss.shape), {0: z[f"out_grad_{n}"]})
