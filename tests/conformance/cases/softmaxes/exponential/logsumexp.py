"""Logsumexp: the logarithm of a sum of exponentials, with factors of any sign."""

import numpy as np

import anymax as am
from anymax._conformance.identities import shift_equivariant
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=6).reshape(2, 3, 4)
_W = np.abs(logits(6, 4, seed=7)).reshape(2, 3, 4)
_ZERO = np.where(np.arange(4) == 1, 0.0, _W)

CASES = [
    *row_cases(),
    Case("weighted", (_X,), {"weight": _W}, wrt=(0, "weight"), smooth=True),
    Case("dropped", (np.where(_ZERO == 0, np.inf, _X),), {"weight": _ZERO}),
    Case("signed", (_X,), {"weight": _W - 0.75, "return_sign": True}),
    Case("keepdims", (_X,), {"keepdims": True, "axis": 1}, smooth=True),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
    Case("barely_above_one", (np.asarray([[0.0, -30.0], [0.0, -60.0]]),)),
    Case("scalar_all", (np.asarray(0.75),), {"axis": None}),
]


def ORACLE(x, *, axis=-1, where=None, weight=None, keepdims=False, return_sign=False):
    factor = np.broadcast_to(1.0 if weight is None else weight, x.shape).astype(x.dtype)
    keep = (x != -np.inf) & (factor != 0) & (True if where is None else where)
    axis = tuple(range(x.ndim)) if axis is None or x.ndim == 0 else axis
    top = np.max(x, axis=axis, keepdims=True, where=keep, initial=-np.inf)
    m = np.where(np.isfinite(top), top, 0)
    terms = factor * np.exp(np.where(keep, x - m, 0))
    s = np.sum(terms, axis=axis, keepdims=True, where=keep)
    value = np.log(np.abs(s) if return_sign else s) + m
    value, sign = (a if keepdims else np.squeeze(a, axis=axis) for a in (value, np.sign(s)))
    return (value, sign) if return_sign else value


def _at_least_the_maximum(form, case):
    x = case.args[0]
    if case.options or not np.isfinite(x).all() or x.size == 0 or x.ndim == 0:
        return None
    lse = np.asarray(form(x))
    top = np.max(x, axis=-1)
    return np.clip(lse, top, top + np.log(x.shape[-1])), lse


def _normalises(form, case):
    x, where = case.args[0], case.options.get("where")
    size = np.max(np.abs(np.where(np.isfinite(x), x, 0)), initial=0)
    if set(case.options) - {"where", "axis"} or x.ndim == 0 or size > 99:
        return None  # exp(x - lse) magnifies the rounding of a large lse
    p = np.exp(am.log_softmax(x, **case.options))
    lse = form(x, keepdims=True, **case.options)
    keep = (x != -np.inf) & (True if where is None else where)
    live = keep & (lse != np.inf)
    with np.errstate(invalid="ignore"):
        q = np.where(live, np.exp(np.where(live, x - lse, 0)), 0)
    return q, np.where(live, p, 0)


IDENTITIES = (shift_equivariant, _at_least_the_maximum, _normalises)


def GOLDEN(load):
    """torch without a mask, jax with one, SciPy with factors of 2."""
    for name in ("small", "inf"):
        z = load(f"classic-softmax__{name}")
        x, where = z["in_logits"], z["in_where"]
        yield Golden(Case(name, (x,)), z["out_logsumexp"])
        yield Golden(Case(f"{name}_where", (x,), {"where": where}), z["out_logsumexp_where"])
        twice = {"weight": np.full(x.shape, 2.0)}
        yield Golden(Case(f"{name}_twice", (x,), twice), z["out_scipy_logsumexp_b2"])
