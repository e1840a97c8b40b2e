"""`kl_dro_loss`: the dual of a worst expected margin."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, log_softmax
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, Golden, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
_TAU = np.asarray([0.5, 1.0, 64.0, 2.0, np.nan, 0.5, 1.0, 0.25, np.nan])
_X, _Y = logits(6, 5, seed=8).reshape(2, 3, 5), np.asarray([[0, 4, 2], [3, 3, 1]])
_T = np.asarray([[0.5, 1.0, 2.0], [4.0, 0.75, 16.0]])
_ONE = np.asarray(0.5)
_NONE = {"reduction": "none"}

CASES = [
    Case("edges", (_EDGES, _LABELS, _TAU), {"rho": 2.0, "where": _WHERE, **_NONE}, compiled=True),
    Case(
        "mean", (_X, _Y, _T), {"rho": np.asarray(0.5), "weight": np.asarray([1, 0.5, 2, 0.25, 1])},
        (0, 2, "rho"), compiled=True, smooth=True,
    ),
    Case("shared", (_X, _Y, _ONE), {"rho": 8.0, "min_temperature": 0.25}, smooth=True),
    Case("classes_first", (np.moveaxis(_X, -1, 0), _Y, _T), {"rho": 1.0, "axis": 0}),
    Case("one_row", (_X[0, 0], np.asarray(0), _ONE), {"rho": 1.0, "reduction": "sum"}),
]  # fmt: skip


def ORACLE(
    logits, target, temperature, *, rho, min_temperature=0.0, axis=-1, where=None, weight=None,
    reduction="mean",
):  # fmt: skip
    def cost(z, t, lost, tau, radius):
        if lost:
            return np.inf
        return tau * (-log_softmax(z / tau)[t > 0][0] - np.log(np.longdouble(z.size))) + radius * (
            tau - min_temperature
        )

    return by_examples(
        cost, logits, target, temperature, rho, axis=axis, where=where, weight=weight,
        reduction=reduction,
    )  # fmt: skip


def DRAW(rng):
    x = rng.normal(size=(rng.integers(1, 4), rng.integers(1, 6)))
    y, t = rng.integers(0, x.shape[-1], size=x.shape[0]), np.exp(rng.normal(size=x.shape[0]))
    return Case("drawn", (x, y, t), {"rho": 1.0})


def _is_cross_entropy_at_one(form, case):
    x, y, t = case.args
    if case.options.get("axis", -1) != -1 or not np.isfinite(x).all():
        return None
    ones, radius = np.ones_like(t), float(np.log(x.shape[-1]))
    return form(x, y, ones, rho=radius), am.cross_entropy(x, y)


def _homogeneous(form, case):
    if not np.isfinite(case.args[0]).all():
        return None
    x, y, t = case.args
    options = {**case.options, "min_temperature": 0.0}
    return form(4 * x, y, 4 * t, **options), 4 * form(x, y, t, **options)


IDENTITIES = (_is_cross_entropy_at_one, _homogeneous)


def GOLDEN(load):
    z = load("tempnet__robust_cross_entropy")
    for i in range(3):
        y = z[f"in_labels_{i}"]
        case = Case(
            str(i), (z[f"in_logits_{i}"], y, z[f"in_tau_{i}"].reshape(y.shape)),
            {"rho": float(z[f"in_rho_{i}"])},
        )  # fmt: skip
        gradients = {0: z[f"out_grad_logits_{i}"], 2: z[f"out_grad_tau_{i}"].reshape(y.shape)}
        yield Golden(case, z[f"out_loss_{i}"], np.ones(()), gradients)
