"""`optimistic_mirror_descent`: projected steps against gradients and hints."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(13)
_G, _M = _RNG.normal(size=(2, 4, 3)), _RNG.normal(size=(2, 4, 3))
_X = np.asarray([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
_BAD = np.where(np.arange(12).reshape(4, 3) == 7, np.nan, _G)
_FAR = np.asarray([[0.0, 0.5, 2.0], [1e4, 0.0, -1.0], [0.5, 0.5, 0.5], [0.0, 0.0, 0.0]])

CASES = [
    Case("simplex", (_G, _X), {"eta": 0.25}, compiled=True, condition=8.0),
    Case("hints", (_G, _X), {"eta": 0.25, "hints": _M}, wrt=(0, 1, "hints"), condition=8.0),
    Case("etas", (_G, _X), {"eta": np.asarray([0.25, 0.5, 0.125, 0.0625])}, wrt=(0, 1, "eta"),
         condition=8.0),
    Case("inside", (_G / 64.0, _X), {"eta": 0.25}, smooth=True, condition=8.0),
    Case("ball", (_G, _X), {"eta": 1.0, "projection": "ball"}, smooth=True, condition=8.0),
    Case("box", (_G, _X), {"eta": 1.0, "projection": "box"}, condition=8.0),
    Case("identity", (_G, _X), {"eta": 1.0, "projection": lambda x: x}, condition=8.0),
    Case("edges", (_BAD, _X), {"eta": 0.25}, wrt=(), compiled=True, condition=8.0),
    Case("corners", (_FAR, np.asarray([1.0, 0.0, 0.0])), {"eta": 1.0}, wrt=(), condition=1e4),
    Case("no_round", (_G[:, :0], _X), {"eta": 0.25}),
    Case("one", (np.ones((3, 1)), np.ones(1)), {"eta": 0.25}, wrt=()),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(grads, x0, *, eta, hints=None, projection="simplex"):
    *lead, rounds, n = grads.shape
    project = {"simplex": _simplex, "ball": _ball, "box": lambda x: np.clip(x, -1, 1)}.get(
        projection, projection
    )
    eta = np.broadcast_to(np.asarray(eta, np.longdouble), (rounds,))
    x = np.broadcast_to(x0, (*lead, n))
    plays = np.zeros(grads.shape, np.longdouble)
    for t in range(rounds):
        previous = grads[..., t - 1, :] if t else 0.0
        hint = previous if hints is None else hints[..., t, :]
        plays[..., t, :] = project(x - eta[t] * hint)
        x = project(x - eta[t] * grads[..., t, :])
    return plays


def _simplex(x):
    """The threshold by bisection and a last exact step."""
    low, high = np.min(x, axis=-1, keepdims=True) - 1, np.max(x, axis=-1, keepdims=True)
    for _ in range(90):
        middle = 0.5 * (low + high)
        more = np.sum(np.maximum(x - middle, 0), axis=-1, keepdims=True) > 1
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    inside = x > high
    size = np.maximum(np.sum(inside, axis=-1, keepdims=True), 1)
    threshold = (np.sum(np.where(inside, x, 0), axis=-1, keepdims=True) - 1) / size
    p = np.maximum(x - threshold, 0)
    return np.where(np.isnan(x).any(axis=-1, keepdims=True), np.nan, p)


def _ball(x):
    return x / np.maximum(np.sqrt(np.sum(x * x, axis=-1, keepdims=True)), 1)


def DRAW(rng):
    t, n = rng.integers(1, 4, size=2)
    args = rng.normal(size=(2, t, n)), rng.dirichlet(np.ones(n))
    return Case("drawn", args, {"eta": 0.5, "projection": "box"}, condition=64.0)


def plays_lie_on_the_simplex(form, case):
    if "projection" in case.options or not np.isfinite(case.args[0]).all():
        return None
    p = np.asarray(form(*case.args, **case.options))
    return np.sum(np.abs(p), axis=-1), np.ones(p.shape[:-1])


IDENTITIES = (plays_lie_on_the_simplex,)
