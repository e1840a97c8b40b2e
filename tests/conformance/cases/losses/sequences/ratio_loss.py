"""`ratio_loss`: the ratio of boundaries that dynamic chunking aims at."""

import numpy as np

from anymax.testing import Case, Golden, logits

_P = 1.0 / (1.0 + np.exp(-logits(2, 6, seed=1)))
_B = np.arange(12).reshape(2, 6) % 5 == 0
_KEEP = np.arange(12).reshape(2, 6) % 4 != 2

CASES = [
    Case("plain", (_P, _B), {"compression": 3.0}, compiled=True, smooth=True),
    Case("floating", (_P, _B * 1.0), {"compression": 1.5}, wrt=(0,), smooth=True),
    Case("masked", (np.where(_KEEP, _P, np.nan), _B), {"compression": 6, "where": _KEEP},
         compiled=True),
    Case("bad", (np.where(_KEEP, _P, np.nan), _B), {"compression": 6}),
    Case("nothing", (_P, _B), {"compression": 2, "where": np.zeros((2, 1), bool)}),
    Case("no_token", (np.zeros((2, 0)), np.zeros((2, 0), bool)), {"compression": 2}),
]  # fmt: skip


def ORACLE(p, boundary, *, compression, where=None):
    keep = np.broadcast_to(True if where is None else where, p.shape)
    if not keep.any():
        return np.longdouble(0.0)
    n = np.longdouble(compression)
    f, g = np.mean(boundary[keep].astype(np.longdouble)), np.mean(p[keep])
    return n / (n - 1) * ((n - 1) * f * g + (1 - f) * (1 - g))


def DRAW(rng):
    p = rng.uniform(size=rng.integers(1, 9))
    return Case("drawn", (p, p > 0.5), {"compression": 4.0})


def GOLDEN(load):
    """The official loss is computed in float32, over padding too."""
    for n in (0, 2, 3):
        z = load(f"h-net__routing_case{n}")
        args = z["out_boundary_prob"][..., 1], z["out_boundary_mask"]
        case = Case(str(n), args, {"compression": float(z["in_target_ratio"])})
        yield Golden(case, z["out_ratio_loss"], rtol=1e-6)
