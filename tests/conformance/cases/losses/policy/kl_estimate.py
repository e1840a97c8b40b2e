"""`kl_estimate`: estimators of a divergence from log-ratios."""

import numpy as np

from anymax._conformance.policies import LOGP, OLD, WHERE
from anymax.testing import Case, Golden

_BAD = np.where(WHERE, LOGP, np.nan)
_OLD = np.where(WHERE, OLD, -np.inf)
_OLD[0, 0] = _BAD[0, 0]  # no ratio at all
_BAD[3, 0], _OLD[3, 1] = -np.inf, -np.inf

CASES = [
    Case("edges", (_BAD, _OLD), {"where": WHERE}, compiled=True, condition=256.0),
    Case("k1", (LOGP, OLD), {"kind": "k1"}, smooth=True),
    Case("k2", (LOGP, OLD), {"kind": "k2"}, smooth=True),
    Case("k3", (LOGP, OLD), smooth=True, condition=256.0),
    Case("abs", (LOGP, OLD), {"kind": "abs", "where": WHERE}),
    Case("clipped", (4.0 * LOGP, OLD), {"clip": (2.0, 1.5)}, condition=256.0),
    # The gradient is another estimator's, which differences of the value can't show.
    Case("straight_through", (_BAD, _OLD), {"where": WHERE, "straight_through": True}, wrt=(),
         compiled=True, condition=256.0),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(logp, ref_logp, *, kind="k3", clip=None, straight_through=False, where=None):
    d = logp - ref_logp
    if clip is not None:
        d = np.clip(d, -clip[0], clip[0])
    y = {"k1": d, "k2": d * d / 2, "abs": np.abs(d), "k3": np.expm1(-d) + d}[kind]
    if kind == "k3":
        y = np.where(d == -np.inf, np.inf, y)
    y = y if clip is None else np.clip(y, -clip[1], clip[1])
    return np.where(True if where is None else where, y, 0)


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=2))
    kind = ("k1", "k2", "k3", "abs")[rng.integers(4)]
    args = rng.normal(size=shape), rng.normal(size=shape)
    return Case("random", args, {"kind": kind}, condition=1e5)


def GOLDEN(load):
    """verl's kl_penalty; the gradient of its k3+ is that of k2."""
    z = load("classic-kl-estimators__k123_large")
    args = z["in_logprob"], z["in_ref_logprob"]
    ones = np.ones(args[0].shape)
    for kind in ("k1", "k2", "abs"):
        yield Golden(Case(kind, args, {"kind": kind}), z[f"out_{kind}"])
    verl = {"clip": (20.0, 10.0)}
    yield Golden(Case("k3", args, verl), z["out_k3"], ones, {0: z["out_grad_k3"]})
    plus = Case("k3_plus", args, {**verl, "straight_through": True})
    yield Golden(plus, z["out_k3"], ones, {0: z["out_grad_k3plus"]})
