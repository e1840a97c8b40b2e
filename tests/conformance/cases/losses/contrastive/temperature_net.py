"""`temperature_net`: a small network whose output is a temperature."""

import numpy as np

from anymax._conformance.pairs import unit
from anymax.testing import Case, Golden, logits

_LLM = (
    logits(3, 4, seed=1), logits(1, 3, seed=2)[0] / 8, logits(5, 3, seed=3) / 8,
    logits(1, 5, seed=4)[0] / 8, logits(1, 5, seed=5), np.asarray([0.25]), np.asarray(-0.5),
)  # fmt: skip
_CLIP = (
    logits(3, 4, seed=1) / 8, logits(1, 3, seed=2)[0] / 8, logits(5, 3, seed=3),
    logits(1, 5, seed=5), np.asarray([0.25]), np.asarray(-1.0),
)  # fmt: skip
_X = logits(6, 4, seed=6).reshape(2, 3, 4) * 2
_LIMITS = {"min_temperature": 0.5, "max_temperature": 5.0}
_EDGES = np.concatenate([_X[0], np.full((1, 4), np.nan)])

CASES = [
    Case("llm", (_X, _LLM), _LIMITS, (0, (1, 0), (1, 2), (1, 6)), compiled=True, smooth=True,
         condition=8.0),
    Case("clip", (_X, _CLIP), {**_LIMITS, "kind": "clip"}, (0, (1, 0), (1, 2)), compiled=True,
         smooth=True, condition=8.0),
    Case("edges", (_EDGES, _LLM), _LIMITS, (0,), condition=8.0),
    Case("one_row", (_X[0, 0], _LLM), _LIMITS, condition=8.0),
]  # fmt: skip


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def ORACLE(x, params, *, min_temperature, max_temperature, kind="llm"):
    if kind == "llm":
        w1, b1, w2, b2, u, c, s = params
        g = h = _sigmoid(unit(x) @ w1.T + b1) @ w2.T + b2
    else:
        w1, b1, p, u, c, s = params
        g = _sigmoid(x @ w1.T + b1) @ unit(p).T
        h = _sigmoid(g)
    e = np.exp(g / np.exp(s))
    w = e / np.sum(e, axis=-1, keepdims=True)
    o = ((w - 1 / np.longdouble(w.shape[-1])) * h) @ u.T + c
    return min_temperature + (max_temperature - min_temperature) * _sigmoid(o[..., 0])


def DRAW(rng):
    return Case("drawn", (rng.normal(size=(3, 4)), _LLM), _LIMITS, condition=8.0)


def _lengths_do_not_matter(form, case):
    if case.options.get("kind") == "clip":
        return None
    return form(4 * case.args[0], case.args[1], **_LIMITS), form(*case.args, **_LIMITS)


IDENTITIES = (_lengths_do_not_matter,)


def GOLDEN(load):
    for kind, names in (
        ("llm", ("proj_0_weight", "proj_0_bias", "proj_3_weight", "proj_3_bias", "last_weight",
                 "last_bias", "scaler")),
        ("clip", ("proj_weight", "proj_bias", "prototypes", "linear_1_weight", "linear_1_bias",
                  "scaler")),
    ):  # fmt: skip
        z = load(f"tempnet__tempnet_{kind}")
        options = {
            "min_temperature": float(z["in_tau_min"]), "max_temperature": float(z["in_tau_max"]),
            "kind": kind,
        }  # fmt: skip
        params = tuple(z[f"in_{name}"] for name in names)
        yield Golden(Case(kind, (z["in_x"], params), options, wrt=()), z["out_tau"].reshape(-1))
