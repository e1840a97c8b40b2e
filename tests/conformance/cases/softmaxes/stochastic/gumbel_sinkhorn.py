"""`gumbel_sinkhorn`: gumbel-Sinkhorn: Sinkhorn normalisation of perturbed scores."""

import numpy as np

from anymax._conformance.oracles import logsumexp, taking_part
from anymax.testing import Case

_RNG = np.random.default_rng(10)
_X, _G = _RNG.normal(size=(2, 3, 3)), _RNG.gumbel(size=(2, 3, 3))
_EDGES = np.where(_RNG.uniform(size=(3, 4, 4)) < 0.2, -np.inf, _RNG.normal(size=(3, 4, 4)))
_EDGES[1, 0, 0] = np.nan
_EDGES[2, 1] = -np.inf
_KEEP = _RNG.uniform(size=(3, 4, 4)) < 0.8

CASES = [
    Case("edges", (_EDGES, _RNG.gumbel(size=(3, 4, 4))), {"num_iters": 3}, compiled=True,
         condition=64.0),
    Case("masked", (_EDGES, _RNG.gumbel(size=(3, 4, 4))), {"num_iters": 3, "where": _KEEP},
         condition=64.0),
    Case("smooth", (_X, _G), {"num_iters": 3}, smooth=True, condition=16.0),
    Case("cool", (_X, _G), {"temperature": 0.5, "num_iters": 4}, smooth=True, condition=64.0),
    Case("many", (_X[0], _RNG.gumbel(size=(4, 3, 3))), {"num_iters": 2}, condition=16.0),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(scores, gumbel, *, where=None, temperature=1.0, num_iters=20):
    x = scores + gumbel
    keep = taking_part(x, where)
    z = np.where(keep, x, 0) / temperature
    f = np.zeros(z.shape[:-1], np.longdouble)
    for _ in range(num_iters):
        lse = logsumexp(np.where(keep, z + f[..., None], -np.inf), keep, -2)
        g = np.where(lse == -np.inf, 0, -lse)
        lse = logsumexp(np.where(keep, z + g[..., None, :], -np.inf), keep, -1)
        f = np.where(lse == -np.inf, 0, -lse)
    return np.where(keep, np.exp(np.where(keep, f[..., None] + z + g[..., None, :], 0)), 0)


def DRAW(rng):
    n = rng.integers(1, 5)
    args = rng.normal(size=(2, n, n)), rng.gumbel(size=(2, n, n))
    return Case("drawn", args, {"num_iters": 4}, condition=64.0)


def same_as_sinkhorn(form, case):
    from anymax import sinkhorn

    x, g = case.args
    return form(x, g, **case.options), sinkhorn(x + g, **case.options)


IDENTITIES = (same_as_sinkhorn,)
