"""Binary cross entropy of logits: binary_cross_entropy_with_logits."""

import numpy as np

import anymax as am
from anymax._conformance.examples import binary_edges, drawn_binary, log_sigmoid, reduced
from anymax.testing import Case, Golden, logits

_EDGES, _HARD = binary_edges()
_X = logits(4, 3, seed=2)
_Y = np.arange(12).reshape(4, 3) % 7 / 4.0  # past 1, too
_KEEP = np.arange(12).reshape(4, 3) % 4 != 1
_WEIGHT = np.asarray([[1.0], [0.5], [0.0], [2.0]])
_POSITIVE = np.asarray([0.5, 3.0, 1.0])
_ALL = {"weight": _WEIGHT, "pos_weight": _POSITIVE}

CASES = [
    Case("edges", (_EDGES, _HARD), {"reduction": "none"}, wrt=(0,), compiled=True),
    Case("mean", (_X, _Y), smooth=True),
    Case("everything", (_X, _Y), _ALL, wrt=(0, 1, "pos_weight"), smooth=True),
    Case(
        "masked", (np.where(_KEEP, _X, np.nan), _Y), {**_ALL, "where": _KEEP},
        wrt=(0, 1, "weight", "pos_weight"), compiled=True,
    ),
    Case("labels", (_X, np.rint(_Y).astype(int)), {"reduction": "sum"}, smooth=True),
    Case("all_masked", (_X, _Y), {"where": np.zeros((4, 1), bool)}),
]  # fmt: skip

DRAW = drawn_binary


def ORACLE(logits, target, *, where=None, weight=None, reduction="mean", pos_weight=1.0):
    y = target.astype(np.longdouble)
    loss = -np.where(y == 0, 0, pos_weight * y * log_sigmoid(logits))
    loss = loss - np.where(y == 1, 0, (1 - y) * log_sigmoid(-logits))
    return reduced(loss, reduction, live=where, weight=weight, by_count=True)


def _mirrored(form, case):
    if "pos_weight" in case.options:
        return None
    x, y = case.args
    return form(-x, 1 - y, **case.options), form(x, y, **case.options)


def _two_classes(form, case):
    """A logit and a class whose logit is 0."""
    x, y = case.args
    if set(case.options) - {"reduction"} or not np.isfinite(x).all():
        return None
    two, soft = np.stack([np.zeros_like(x), x], axis=-1), np.stack([1.0 - y, y], axis=-1)
    return form(x, y, **case.options), am.cross_entropy(two, soft, **case.options)


IDENTITIES = (_mirrored, _two_classes)


def GOLDEN(load):
    z = load("classic-bce-with-logits__bce")
    for n in range(3):
        options = {k: z[f"in_{k}_{n}"] for k in ("weight", "pos_weight") if f"in_{k}_{n}" in z}
        for reduction in ("none", "mean"):
            args = (z[f"in_logits_{n}"], z[f"in_target_{n}"])
            case = Case(f"{n}_{reduction}", args, {**options, "reduction": reduction})
            loss = z[f"out_{reduction}_{n}"]
            gradients = {0: z[f"out_grad_{reduction}_{n}"]}
            yield Golden(case, loss, np.ones(loss.shape), gradients)
