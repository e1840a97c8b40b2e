"""`finalize_softmax_state`: logsumexp and mean from a state."""

import numpy as np

from anymax.testing import Case

_INF, _NAN = np.inf, np.nan
_RNG = np.random.default_rng(17)
_M, _L, _O = _RNG.normal(size=(2, 3)), 1 + _RNG.uniform(size=(2, 3)), _RNG.normal(size=(2, 3, 4))
_EDGE_M = np.asarray([0.5, -_INF, -_INF, _NAN, _INF, 1e4, 1.0, -_INF])
_EDGE_L = np.asarray([1.5, 0.0, 1.0, 2.0, _NAN, 2.0, 0.0, _NAN])
_EDGE_O = np.asarray([1.0, 0.0, 1.0, 1.0, _NAN, 0.5, 0.0, _NAN])[:, None] * [1.0, 2.0]

CASES = [
    Case("edges", (_EDGE_M, _EDGE_L), {"o": _EDGE_O}, wrt=(), compiled=True),
    Case("sums", (_EDGE_M, _EDGE_L), wrt=(), compiled=True),
    Case("smooth", (_M, _L), {"o": _O}, wrt=(0, 1, "o"), smooth=True, condition=64.0),
    Case("lse", (_M, _L), smooth=True, condition=64.0),
    Case("scalar", (_M[0, 0], _L[0, 0]), {"o": _O[0, 0]}, condition=64.0),
    Case("no_row", (_M[:0], _L[:0]), {"o": _O[:0]}),
]
INTEGERS = (0, 1)


def ORACLE(m, l, *, o=None):
    live = (m != -np.inf) & (l != 0)
    s = np.where(live, l, 1)
    lse = np.where(live, np.where(m == np.inf, m, np.where(live, m, 0) + np.log(s)), -np.inf)
    if o is None:
        return lse
    out = np.where(live[..., None], o / s[..., None], 0)
    return np.where((live & (m == np.inf))[..., None], np.nan, out), lse


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=2))
    return Case("drawn", (8 * rng.normal(size=shape), 1 + rng.uniform(size=shape)), condition=64.0)
