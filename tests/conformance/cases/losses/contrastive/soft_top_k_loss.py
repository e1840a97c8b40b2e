"""`soft_top_k_loss`: the surprise of the positives under soft top-k weights."""

import numpy as np

import anymax as am
from anymax._conformance.by_rows import bisected
from anymax._conformance.examples import reduced
from anymax.testing import Case, logits

_X = np.clip(logits(5, 6, seed=1), -8, 8)
_Y = np.asarray(
    [[1, 0, 1, 0, 0, 0], [0] * 6, [1, 1, 1, 1, 1, 1], [0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0]]
).astype(bool)
_EDGES = _X.copy()
_EDGES[0, 3] = _EDGES[3, 1] = -np.inf  # a negative, and a positive: +inf
_EDGES[4] = np.nan
_WHERE = np.ones((5, 6), bool)
_WHERE[2, 5], _WHERE[4] = False, False
_LISTS = np.asarray([[0, 2, -1], [-1, -1, -1], [4, 1, 3], [1, 1, -1], [0, -1, -1]])
_NONE = {"reduction": "none"}

CASES = [
    Case("edges", (_EDGES, _Y), {"k": 2, "where": _WHERE, **_NONE}, compiled=True),
    Case("mean", (_X, _LISTS), {"k": 2.5}, compiled=True),
    Case("counts", (_X, _LISTS), {"k": np.asarray([1.0, 2, 3, 2.5, 0.5])}, (0,)),
    Case("smooth", (_X / 4, _Y), {"k": 2, "alpha": 1.0, "weight": np.arange(5) / 4.0}, smooth=True),
    Case("all", (_X, _Y), {"k": 6, **_NONE}),
    Case("one_row", (_X[3], _Y[3]), {"k": 1.5, "reduction": "sum"}),
]  # fmt: skip


def ORACLE(logits, target, *, k, alpha=2.0, axis=-1, where=None, weight=None, reduction="mean"):
    x = np.moveaxis(logits, axis, -1)
    t = np.moveaxis(target, axis, -1)
    hot = t if t.dtype == bool else (t[..., None] == np.arange(x.shape[-1])).any(axis=-2)
    part = np.moveaxis(np.broadcast_to(True if where is None else where, logits.shape), axis, -1)
    keep = part & (x != -np.inf)
    loss, live = np.zeros(x.shape[:-1], np.longdouble), keep.any(axis=-1)
    count = np.broadcast_to(k, loss.shape)
    for row in filter(lambda row: live[row], np.ndindex(loss.shape)):
        loss[row] = _row(x[row], keep[row], hot[row], np.longdouble(count[row]), alpha)
    return reduced(loss, reduction, live=live, weight=weight)


def _row(x, keep, hot, k, alpha):
    if np.any(hot & ~keep):
        return np.inf
    z, own = alpha * x[keep], hot[keep]
    if not own.any():
        return np.longdouble(0.0)
    if not np.isfinite(z).all():
        return np.nan
    if k >= z.size:
        return np.longdouble(0.0)
    lg = np.log(k / (z.size - k))
    low, high = lg - np.max(z), lg - np.min(z)
    s = bisected(lambda s: np.sum(1 / (1 + np.exp(s - z))) - k, -high - 1, -low + 1)
    return np.mean(np.logaddexp(0, s - z[own]))


def DRAW(rng):
    x = rng.normal(size=(rng.integers(1, 4), rng.integers(2, 7)))
    y = rng.uniform(size=x.shape) < 0.4
    return Case("drawn", (x, y), {"k": float(rng.uniform(0.25, x.shape[-1] - 0.25))})


def _is_minus_log_soft_top_k(form, case):
    x, t = case.args
    if t.dtype != bool or "where" in case.options or np.ndim(case.options["k"]):
        return None
    options = {"alpha": 2.0, **{o: case.options[o] for o in ("k", "alpha") if o in case.options}}
    y = np.where(t, am.log_soft_top_k(x, **options), 0)
    return form(x, t, reduction="none", **options), -y.sum(-1) / np.maximum(t.sum(-1), 1)


IDENTITIES = (_is_minus_log_soft_top_k,)
