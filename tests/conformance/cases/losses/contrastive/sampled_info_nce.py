"""`sampled_info_nce`: the next item among pooled samples, near copies of it left out."""

import math

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.pairs import products, surprise, unit
from anymax.testing import Case, Golden, logits

_U, _P = logits(6, 4, seed=1).reshape(2, 3, 4), logits(6, 4, seed=2).reshape(2, 3, 4)
_N = logits(6, 4, seed=3).reshape(2, 3, 4)
_TWIN = _N.copy()
_TWIN[1, 2] = 4 * _P[0, 1]  # a false negative of one position
_KEEP = np.asarray([[True, True, True], [True, False, True]])
_HOLES = _U.copy()
_HOLES[1, 1] = np.nan
_BAD = _P.copy()
_BAD[0, 0, 0] = np.inf
_NONE = {"reduction": "none"}

CASES = [
    Case("edges", (_HOLES, _P, _TWIN), {"where": _KEEP, **_NONE}, compiled=True),
    Case(
        "mean", (_U, _P, _TWIN), {"temperature": np.asarray(0.25), "weight": np.asarray(
            [[1, 0.5, 2], [0, 1, 0.25]])}, (0, 1, 2, "temperature"), compiled=True, smooth=True,
    ),
    Case("floored", (_U, _P, _N[0]), {"temperature": np.asarray(0.125), "min_temperature": 0.5},
         (0, "temperature")),
    Case("unfiltered", (_U, _P, _TWIN), {"false_negative_threshold": None, **_NONE}),
    Case("all_filtered", (_U, _P, _N), {"false_negative_threshold": -2.0, **_NONE}),
    Case("bad", (_U, _BAD, _N), _NONE),
    Case("one_row", (_U[0, :1], _P[0, :1], _N[0]), {"normalize": False, "temperature": 4.0}),
    Case("large", (logits(300, 5), logits(300, 5, seed=1), logits(500, 5)), {"temperature": 0.5},
         large=True),
]  # fmt: skip


def ORACLE(
    user, positive, negatives, *, temperature=0.07, min_temperature=0.01,
    false_negative_threshold=0.99, normalize=True, where=None, weight=None, reduction="mean",
):  # fmt: skip
    u, p, n = (unit(x, normalize) for x in (user, positive, negatives))
    n = n.reshape(-1, n.shape[-1])
    heat = np.broadcast_to(np.maximum(temperature, min_temperature), u.shape[:-1])[..., None]
    own = products(u[..., None, :], p[..., None, :])[..., 0]
    z = np.concatenate([own, products(u, n)], axis=-1) / heat
    keep = np.ones(z.shape, bool)
    if false_negative_threshold is not None:
        keep[..., 1:] = ~(products(p, n) > false_negative_threshold)
    if where is not None:
        keep &= where[..., None]
    loss, live = surprise(z, keep, 0)
    return reduced(loss, reduction, live=live, weight=weight)


def _copies_of_the_positive_change_nothing(form, case):
    if case.args[2].ndim != 2 or case.args[0].shape[-2] != 1:
        return None
    u, p, n = case.args
    more = np.concatenate([n, p])
    options = {"normalize": True}
    return form(u, p, more, **options), form(u, p, n, **options)


def _is_info_nce_without_the_filter(form, case):
    if case.options.get("false_negative_threshold", 0) is not None:
        return None
    u, p, n = (x.reshape(-1, x.shape[-1]) for x in case.args)
    whole = [
        am.info_nce(u[i : i + 1], p[i : i + 1], negatives=n, reduction="none")
        for i in range(len(u))
    ]
    return form(*case.args, **case.options), np.concatenate(whole).reshape(case.args[0].shape[:-1])


IDENTITIES = (_copies_of_the_positive_change_nothing, _is_info_nce_without_the_filter)


def GOLDEN(load):
    z = load("hllm__nce_loss")
    for i in range(2):
        t = math.exp(-float(z[f"in_logit_scale_{i}"]))
        options = {"temperature": np.asarray(t), "where": z[f"in_mask_{i}"] == 1}
        args = tuple(z[f"in_{name}_{i}"] for name in ("user", "pos", "neg"))
        gradients = {j: z[f"out_grad_{n}_{i}"] for j, n in enumerate(("user", "pos", "neg"))}
        gradients["temperature"] = -z[f"out_grad_logit_scale_{i}"] / t
        case = Case(str(i), args, options, (0, 1, 2, "temperature"))
        yield Golden(case, z[f"out_loss_{i}"], np.ones(()), gradients, rtol=1e-11)
