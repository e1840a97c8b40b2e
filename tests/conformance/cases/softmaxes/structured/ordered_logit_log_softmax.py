"""`ordered_logit_log_softmax`: log-probabilities of ordered classes."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(32)
_X = 2.0 * _RNG.normal(size=(2, 3, 4))
_T = np.asarray([-1.5, -0.25, 0.0, 2.0])
_EDGE = np.asarray([0.0, -0.25, 2.0, 60.0, -60.0, 1e4, -1e4, np.inf, -np.inf, np.nan])

CASES = [
    Case("smooth", (_X, _T), smooth=True),
    Case("edges", (_EDGE, _T), wrt=(0,), compiled=True),
    Case(
        "learned", (_X, _T), {"steepness": np.asarray([[0.5], [3.0], [1.0]])},
        wrt=(0, 1, "steepness"), smooth=True, condition=4.0,
    ),
    Case("close", (_X, np.asarray([0.5, 0.5625])), {"steepness": 2.0}, smooth=True, condition=8.0),
    Case("far", (_X, np.asarray([-200.0, 300.0])), {"steepness": 4.0}, condition=4.0),
    Case("one_threshold", (_X, _T[:1]), smooth=True),
    Case("no_threshold", (_X, _T[:0])),
    Case("scalar", (np.asarray(0.5), _T)),
    Case("empty", (np.zeros((0, 4)), _T)),
]  # fmt: skip


def ORACLE(x, thresholds, *, steepness=1.0):
    """The differences of sigmoids, written with expm1 where they cancel."""
    n = thresholds.size
    k = np.broadcast_to(steepness, x.shape)[..., None]
    u = k * (x[..., None] - thresholds)

    def log_sigmoid(a):
        return np.where(a >= 0, 0, a) - np.log1p(np.exp(np.where(a >= 0, -a, a)))

    out = np.zeros((*x.shape, n + 1), u.dtype)
    out[..., 1:] += log_sigmoid(u)
    out[..., :n] += log_sigmoid(-u)
    if n > 1:
        out[..., 1:n] += np.log(-np.expm1(-k * np.diff(thresholds)))
    return out


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=rng.integers(0, 3)))
    t = np.cumsum(rng.integers(1, 9, size=rng.integers(0, 5)) / 4.0)
    return Case("drawn", (2.0 * rng.normal(size=shape), t))


def _sums_to_one(form, case):
    x = case.args[0]
    if np.isnan(x).any():
        return None
    total = np.sum(np.exp(form(*case.args, **case.options)), axis=-1)
    return total, np.ones(x.shape)


def _differences_of_sigmoids(form, case):
    x, t = case.args
    if not np.isfinite(x).all():
        return None
    k = np.broadcast_to(case.options.get("steepness", 1.0), x.shape)[..., None]
    with np.errstate(over="ignore"):
        s = 1 / (1 + np.exp(-k * (x[..., None] - t)))
    s = np.concatenate([np.ones((*x.shape, 1)), s, np.zeros((*x.shape, 1))], axis=-1)
    return np.exp(form(x, t, **case.options)), s[..., :-1] - s[..., 1:]


IDENTITIES = (_sums_to_one, _differences_of_sigmoids)
