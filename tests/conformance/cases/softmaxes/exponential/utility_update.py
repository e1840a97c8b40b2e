"""`utility_update`: one step of maximum likelihood on utilities."""

import numpy as np

import anymax as am
from anymax.testing import Case, logits

_INF = np.inf
_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_Y = np.asarray([[0, 3, 1], [2, 2, 0]])
_MIDDLE = np.asarray([[0, 2, 1, 1], [2, 0, 0, 1]])
_LABELS = np.asarray([2, 0, 1, 0])
_SOFT = np.asarray([[0.25, 0.25, 0.5, 0.0]] * 6).reshape(2, 3, 4)
_EDGES = np.asarray(
    [[0.5, -_INF, 2.0, 0.0], [-_INF] * 4, [np.nan, 1.0, 2.0, 0.5], [1e4, 0.0, 1.0, -1e4]]
)
_KEEP = np.ones((4, 4), bool)
_KEEP[2, 0] = _KEEP[3, 1] = False

CASES = [
    Case("labels", (_X, _Y), {"lr": 1.0}, wrt=(0,), smooth=True, compiled=True, condition=100.0),
    Case("probabilities", (_X, _SOFT), {"lr": 0.5}, wrt=(0,), smooth=True),
    Case("warm", (_X, _Y), {"lr": 0.5, "temperature": 2.0}, wrt=(0,), smooth=True),
    Case("middle", (_X, _MIDDLE), {"lr": 0.5, "axis": 1}, wrt=(0,)),
    Case("edges", (_EDGES, _LABELS), {"lr": 0.5, "where": _KEEP}, wrt=(), compiled=True),
    Case("scalar", (np.asarray(0.75), np.asarray(0)), {"lr": 0.5}, wrt=(0,)),
]


def ORACLE(utility, target, *, lr, axis=-1, where=None, temperature=1.0):
    if utility.ndim == 0:
        return utility
    keep = (utility != -_INF) & (True if where is None else where)
    z = np.where(keep, utility, -_INF) / temperature
    top = np.max(z, axis=axis, keepdims=True)
    e = np.exp(z - np.where(np.isfinite(top), top, 0))
    e = np.where(np.isnan(top), np.nan, e)
    s = np.sum(e, axis=axis, keepdims=True)
    if target.dtype.kind in "iu":
        classes = np.arange(utility.shape[axis])
        shape = [1] * utility.ndim
        shape[axis] = -1
        target = np.expand_dims(target, axis) == classes.reshape(shape)
    step = lr / temperature * (target - e / np.where(s == 0, 1, s))
    return np.where(keep, utility + step, utility)


def DRAW(rng):
    return Case("drawn", (rng.normal(size=(2, 4)), rng.integers(0, 4, 2)), {"lr": 0.5})


def _minus_the_gradient_of_cross_entropy(form, case):
    x, y = case.args
    if not np.isfinite(x).all() or x.ndim == 0 or "axis" in case.options:
        return None
    t = case.options.get("temperature", 1.0)

    def loss(x):
        return am.cross_entropy(x / t, y, reduction="sum")

    _, g = am.value_and_grad(loss)(x)
    return form(x, y, **case.options), x - case.options["lr"] * g


IDENTITIES = (_minus_the_gradient_of_cross_entropy,)
