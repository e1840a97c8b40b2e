"""Soft capping: cap tanh(x / cap)."""

import numpy as np

import anymax as am
from anymax.testing import Case, Golden, logits

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_EDGES = np.asarray([[0.0, np.inf, -np.inf, np.nan, 1e4], [-1e4, 2.0**-10, -3.0, 0.5, 30.0]])

CASES = [
    Case("smooth", (_X,), {"cap": 30.0}, smooth=True, compiled=True),
    Case("low", (_X,), {"cap": 0.5}, smooth=True),
    Case("edges", (_EDGES,), {"cap": 2.0}, compiled=True),
    Case("none", (_EDGES[0, :1],), {"cap": None}),
    Case("infinite", (_X,), {"cap": np.inf}),
    Case("scalar", (np.asarray(0.75),), {"cap": 2.0}),
    Case("empty", (np.zeros((0, 3)),), {"cap": 2.0}),
]


def ORACLE(x, *, cap):
    return x if cap is None or cap == np.inf else cap * np.tanh(x / cap)


def DRAW(rng):
    return Case("drawn", (rng.normal(size=(2, 5)) * 20.0,), {"cap": float(rng.uniform(0.5, 50))})


def _odd(form, case):
    return form(-case.args[0], **case.options), -form(*case.args, **case.options)


def _monotone_and_within_the_cap(form, case):
    cap, x = case.options["cap"], np.sort(case.args[0].reshape(-1))
    if cap is None or np.isnan(x).any():
        return None
    y = form(x, cap=cap)
    assert (np.abs(y) <= cap).all()
    return np.sort(y), y


def _identity_near_zero(form, case):
    """The error of y = x is x^3 / (3 cap^2) to first order."""
    cap = case.options["cap"]
    if cap is None or cap == np.inf:
        return None
    x = np.asarray([0.001, -0.002]) * cap
    return form(x, cap=cap) / x + x**2 / (3.0 * cap**2) - 2 / 15 * (x / cap) ** 4, 1.0 + 0.0 * x


IDENTITIES = (_odd, _monotone_and_within_the_cap, _identity_near_zero)


def GOLDEN(load):
    """Gemma 2 in transformers, float32: scores are scaled, capped, then masked."""
    z = load("classic-softcap__gemma2_a")
    q, k = (z[f"in_{a}"].astype(float) for a in "qk")
    cap = float(z["in_softcap"])
    scores = float(z["in_scaling"]) * q @ np.swapaxes(k, -1, -2)
    where = np.broadcast_to(z["in_mask"] > -1e30, scores.shape)
    p = z["out_weights"].astype(float)
    ratio = np.where(where, np.log(np.where(where, p, 1.0)), 0.0)
    mask = z["in_mask"].astype(float)
    logp = am.log_softmax(am.softcap(scores, cap=cap) + np.where(where, mask, 0.0), where=where)
    yield Golden(Case("gemma2", (np.where(where, logp, 0.0),), {"cap": None}), ratio, rtol=2e-6)
