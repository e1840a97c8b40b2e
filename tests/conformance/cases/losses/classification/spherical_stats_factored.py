"""`spherical_stats_factored`: the sums of logits that are not formed."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(41)
_H = _RNG.normal(size=(2, 3, 4))
_G, _W = _RNG.normal(size=(4, 4)), _RNG.normal(size=4)
_BAD = np.where(np.arange(3)[:, None] == 1, np.nan, _H[0])

CASES = [
    Case("smooth", (_H, _G, _W), smooth=True, compiled=True, condition=16.0),
    Case("row", (_H[0, 0], _G, _W), condition=16.0),
    Case("bad_row", (_BAD, _G, _W), wrt=(), condition=16.0),
    Case("no_row", (np.zeros((0, 4)), _G, _W)),
]
INTEGERS = (0, 1, 2)


def ORACLE(h, gram, w_sum):
    return np.einsum("...i,ij,...j->...", h, gram, h), np.sum(h * w_sum, axis=-1)


def DRAW(rng):
    n, d = rng.integers(1, 5, size=2)
    args = rng.normal(size=(n, d)), rng.normal(size=(d, d)), rng.normal(size=d)
    return Case("drawn", args, condition=64.0)


def _of_the_logits(form, case):
    h = case.args[0]
    w = np.random.default_rng(0).normal(size=(7, h.shape[-1]))
    factored = form(h, w.T @ w, w.sum(axis=0))
    dense = am.losses.spherical_stats(h @ w.T)
    return np.stack(factored), np.stack(dense)


IDENTITIES = (_of_the_logits,)
