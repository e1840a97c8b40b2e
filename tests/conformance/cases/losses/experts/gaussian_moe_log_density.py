"""`gaussian_moe_log_density`: log-density of a gated mixture of Gaussian experts."""

import numpy as np

from anymax.testing import Case, logits

_RNG = np.random.default_rng(11)


def _params(rng, e, d):
    shapes = (e,), (e, d), (e, d), (e,)
    return (*(rng.normal(size=s) for s in shapes), rng.uniform(0.5, 2.0, size=e))


_X, _Y = logits(6, 2, seed=1).reshape(2, 3, 2) / 8.0, _RNG.normal(size=(2, 3))
_PARAMS = _params(_RNG, 4, 2)
_ALL = (0, 1, *((2, i) for i in range(5)))
_WARM = {"temperature": np.asarray(1.5)}

CASES = [
    Case("dense", (_X, _Y, _PARAMS), wrt=_ALL, compiled=True, smooth=True, condition=8.0),
    Case("warm", (_X, _Y, _PARAMS), _WARM, wrt=(*_ALL, "temperature"), smooth=True, condition=8.0),
    Case("top_k", (_X, _Y, _PARAMS), {"gate": "top_k", "k": 2}, wrt=_ALL, smooth=True,
         condition=8.0),
    Case("sigmoid", (_X, _Y, _PARAMS), {"activation": "sigmoid", "temperature": 0.5}, wrt=_ALL,
         smooth=True, condition=8.0),
    Case("all_chosen", (_X, _Y, _PARAMS), {"gate": "top_k", "k": 9}, condition=8.0),
    Case("far", (_X[0], 1024.0 * _Y[0], _PARAMS), condition=64.0, wrt=(0, 1)),
    Case("bad", (np.where(_X > 0.25, np.nan, _X), _Y, _PARAMS), condition=8.0, compiled=True),
    Case("nothing", (np.zeros((0, 2)), np.zeros(0), _PARAMS)),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(x, y, params, *, gate="dense", k=None, temperature=1.0, activation=None):
    beta0, beta1, a, b, variance = params
    scores = x @ beta1.T
    if activation == "sigmoid":
        scores = 1 / (1 + np.exp(-scores))
    z = (scores + beta0) / temperature
    if gate == "top_k":
        order = np.argsort(-scores, axis=-1, kind="stable")
        z = np.where(np.argsort(order, axis=-1, kind="stable") < k, z, -np.inf)
    log_normal = -((y[..., None] - x @ a.T - b) ** 2 / variance + np.log(variance)) / 2
    log_normal = log_normal - np.log(2 * np.longdouble(np.pi)) / 2
    return _log_sum(z + log_normal) - _log_sum(z)


def _log_sum(z):
    if not z.size:
        return np.zeros(z.shape[:-1])
    top = np.max(z, axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(z - top), axis=-1)) + top[..., 0]


def DRAW(rng):
    n, e, d = rng.integers(1, 5, size=3)
    args = rng.normal(size=(n, d)), rng.normal(size=n), _params(rng, e, d)
    return Case("drawn", args, condition=16.0)


def _gate_is_identified_up_to_a_shift(form, case):
    if case.options.get("activation") or case.name == "bad":
        return None
    x, y, (beta0, beta1, *rest) = case.args
    moved = (beta0 + 0.5, beta1 + np.asarray([0.25, -1.0]), *rest)
    return form(x, y, moved, **case.options), form(*case.args, **case.options)


IDENTITIES = (_gate_is_identified_up_to_a_shift,)
