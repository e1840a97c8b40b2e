"""PolyLoss: poly_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, labelled_cases, log_softmax
from anymax.testing import Case, Golden, logits

_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_EPSILON = (np.asarray(-1.0), 0.5, np.asarray([[0.25, 1.0, 2.0]]))

CASES = [
    *labelled_cases(),
    Case("focal", (_X, _Y), {"gamma": 2.0, "epsilon": np.asarray(-0.5)}, wrt=(0, "epsilon"),
         smooth=True),
    Case("powers", (_X, _Y), {"epsilon": _EPSILON}, wrt=(0, ("epsilon", 0), ("epsilon", 2)),
         smooth=True),
]  # fmt: skip


def _cost(z, t, lost, gamma, *epsilon):
    logp = log_softmax(z)
    lacks = 1 - np.sum(t * np.exp(logp))
    sides = sum(e * lacks**j for j, e in enumerate(epsilon, 1))
    return np.inf if lost else lacks**gamma * (sides - np.sum(t * logp))


def ORACLE(logits, target, *, epsilon=2.0, gamma=0.0, **options):
    epsilon = epsilon if isinstance(epsilon, tuple) else (epsilon,)
    return by_examples(_cost, logits, target, np.longdouble(gamma), *epsilon, **options)


def _cross_entropy_at_0(form, case):
    x, y = case.args
    if y.dtype.kind == "f":
        return None
    options = {k: v for k, v in case.options.items() if k not in ("gamma", "epsilon")}
    return form(x, y, epsilon=0.0, **options), am.cross_entropy(x, y, **options)


def _focal_at_0(form, case):
    x, y = case.args
    if y.dtype.kind == "f":
        return None
    options = {k: v for k, v in case.options.items() if k != "epsilon"}
    options["gamma"] = 0.5
    return form(x, y, epsilon=0.0, **options), am.softmax_focal_loss(x, y, **options)


IDENTITIES = (_cross_entropy_at_0, _focal_at_0)


def GOLDEN(load):
    z = load("classic-robust-ce__poly")
    for n in range(2):
        options = {"epsilon": float(z[f"in_epsilon_{n}"]), "reduction": "none"}
        case = Case(str(n), (z[f"in_logits_{n}"], z[f"in_target_{n}"]), options, wrt=(0,))
        loss = z[f"out_loss_{n}"]
        yield Golden(case, loss, np.ones(loss.shape), {0: z[f"out_grad_{n}"]})
