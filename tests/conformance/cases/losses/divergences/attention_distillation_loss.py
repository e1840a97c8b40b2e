"""`attention_distillation_loss`: cross entropy of attention weights under a teacher's."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax.testing import Case, Golden, logits

_A = am.softmax(logits(6, 5, seed=1) / 8.0).reshape(2, 3, 5)
_P = am.softmax(logits(6, 5, seed=7) / 8.0).reshape(2, 3, 5)
_NAN = np.nan
_PRED = np.asarray(
    [
        [0.5, 0.25, 0.25], [0.5, 0.0, 0.5], [0.5, 0.0, 0.5], [0.5, 0.25, 0.25],
        [_NAN, 0.5, 0.25], [_NAN, 0.5, 0.25], [0.0, 0.0, 0.0], [0.25, 0.125, 0.5],
    ]
)  # fmt: skip
_TRUE = np.asarray(
    [
        [0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.5, 0.0, 0.5], [0.0, 0.0, 0.0],
        [0.5, 0.25, 0.25], [_NAN, 0.25, 0.75], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25],
    ]
)  # fmt: skip
_WHERE = np.ones((8, 3), bool)
_WHERE[5, 0] = False
_EDGES = {"where": _WHERE, "reduction": "none"}
_WEIGHT = np.asarray([[1.0, 0.5, 2.0], [0.25, 0.0, 1.5]])

CASES = [
    Case("edges", (_PRED, _TRUE), _EDGES, wrt=(0,), compiled=True),
    Case("floored", (_PRED, _TRUE), {**_EDGES, "eps": 0.1875}, wrt=(0,), compiled=True),
    Case("renormalized", (_PRED, _TRUE), {**_EDGES, "renormalize": True, "eps": 0.1875}, wrt=(0,)),
    Case(
        "renormalized_bare",
        (_PRED[:6], _TRUE[:6]),
        {"where": _WHERE[:6], "renormalize": True},
        wrt=(0,),
    ),
    Case("mean", (_A, _P), smooth=True),
    Case("whole", (3.0 * _A, _P), {"renormalize": True, "eps": 2.0**-20}, smooth=True),
    Case("weighted", (_A, _P), {"weight": _WEIGHT}, wrt=(0, 1, "weight"), smooth=True),
    Case("nothing", (_A, _P), {"where": np.zeros((3, 1), bool)}),
]


def ORACLE(
    pred_weights, true_weights, *, renormalize=False, eps=0.0, axis=-1, where=None, weight=None,
    reduction="mean",
):  # fmt: skip
    a, p = np.broadcast_arrays(pred_weights, true_weights)
    keep = np.broadcast_to(True if where is None else where, a.shape)
    a, p, keep = (np.moveaxis(x, axis, -1) for x in (a, p, keep))
    a = np.where(keep, np.where(np.isnan(a), a, np.maximum(a, eps)), 0)
    p = np.where(keep, p, 0)
    part, lost = p != 0, (p != 0) & (a == 0)
    loss = -np.sum(np.where(part & ~lost, p * np.log(np.where(a == 0, 1, a)), 0), axis=-1)
    loss = loss + np.where(lost.any(axis=-1), np.inf, 0)
    if renormalize:
        total = np.sum(a, axis=-1)
        loss = loss + np.sum(p, axis=-1) * np.log(np.where(total == 0, 1, total))
    return reduced(loss, reduction, live=part.any(axis=-1), weight=weight)


def DRAW(rng):
    n, s = rng.integers(1, 6, size=2)
    return Case(
        "drawn", (rng.uniform(0.1, 1.0, size=(n, s)), rng.uniform(size=(n, s))), condition=8
    )


def _at_least_the_entropy(form, case):
    if case.name != "mean":
        return None
    a, p = case.args
    least = form(p / np.sum(p, axis=-1, keepdims=True), p, reduction="none")
    ours = form(a, p, renormalize=True, reduction="none")
    return np.minimum(ours, least), least


IDENTITIES = (_at_least_the_entropy,)


def GOLDEN(load):
    """lolcats clips at 1e-12 and divides by the sum, over all keys, hidden ones too."""
    for name in ("softmax_dim_causal_case0", "exp_dim_causal_case1"):
        z = load(f"hedgehog__{name}")
        case = Case(
            name, (z["out_weights"], z["out_softmax_weights"]), {"renormalize": True, "eps": 1e-12}
        )
        yield Golden(case, z["out_xent"])
