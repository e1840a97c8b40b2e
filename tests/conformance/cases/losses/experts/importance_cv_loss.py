"""`importance_cv_loss`: squared coefficient of variation of the importance of experts."""

import numpy as np

import anymax as am
from anymax.testing import Case, logits

_G = am.softmax(logits(10, 4, seed=1) / 4.0).reshape(2, 5, 4)
_TOKENS = np.arange(10).reshape(2, 5, 1) % 3 != 1
_ALONE = np.stack([np.ones((5, 1), bool), np.zeros((5, 1), bool)])

CASES = [
    Case("groups", (_G,), compiled=True, smooth=True, condition=64.0),
    Case("masked", (np.where(_TOKENS, _G, np.nan),), {"where": _TOKENS, "coeff": 0.5},
         compiled=True, condition=64.0),
    Case("empty_group", (_G,), {"where": _ALONE}, condition=64.0),
    Case("nothing", (_G[0],), {"where": np.zeros((5, 1), bool)}),
    Case("one_expert", (_G[..., :1],), condition=64.0, wrt=()),
    Case("bad", (np.where(_TOKENS, _G, np.nan),)),
]  # fmt: skip


def ORACLE(gates, *, where=None, coeff=1.0):
    g = np.where(np.broadcast_to(True if where is None else where, gates.shape), gates, 0)
    importance = np.sum(g, axis=-2).reshape(-1, g.shape[-1])
    mean = np.mean(importance, axis=-1)
    live = mean != 0
    if not live.any():
        return np.longdouble(0.0)
    return coeff * np.mean(np.var(importance[live], axis=-1) / mean[live] ** 2)


def DRAW(rng):
    return Case("drawn", (rng.uniform(size=rng.integers(1, 6, size=2)),), condition=1e6)


def _homogeneous(form, case):
    return form(8.0 * case.args[0], **case.options), form(*case.args, **case.options)


IDENTITIES = (_homogeneous,)
