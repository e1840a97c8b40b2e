"""`lagrangian_mixed_advantage`: advantages mixed by Lagrange multipliers."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(66)
_KL, _A, _M = _RNG.normal(size=(2, 3)), _RNG.normal(size=(2, 3, 4)), _RNG.normal(size=4)
_FAR = np.asarray([-np.inf, 40.0, -2.0, np.inf])

CASES = [
    Case("sigmoid", (_KL, _A, _M), compiled=True, smooth=True, condition=256.0),
    Case("tanh", (_KL, _A, _M), {"squash": "tanh"}, smooth=True, condition=256.0),
    Case("raw", (_KL, _A, _M), {"squash": None}, smooth=True, condition=256.0),
    Case("saturated", (_KL, _A, _FAR), wrt=(0, 1), condition=256.0),
    Case("one", (_KL[0, 0], _A[0, 0], _M), condition=256.0),
]
INTEGERS = (0, 1, 2)


def ORACLE(kl_advantage, constraint_advantage, multiplier, *, squash="sigmoid"):
    if squash is None:
        return kl_advantage + constraint_advantage @ multiplier
    mu = np.tanh(multiplier) if squash == "tanh" else 1 / (1 + np.exp(-multiplier))
    return (len(mu) - np.sum(mu)) * kl_advantage + constraint_advantage @ mu


def DRAW(rng):
    n, k = rng.integers(1, 5, size=2)
    args = rng.normal(size=n), rng.normal(size=(n, k)), rng.normal(size=k)
    return Case("random", args, condition=1e5)


def _standardised(x):
    return (x - x.mean(0)) / (x.std(0, ddof=1) + 1e-8)


def GOLDEN(load):
    """ConstrainedRL4LMs, whose columns are standardised first."""
    for squash in ("sigmoid", "tanh"):
        z = load(f"constrained-rlhf__mixed_advantage_{squash}")
        kl, a = _standardised(z["in_kl_advantages"]), _standardised(z["in_constraint_advantages"])
        case = Case(squash, (kl, a, z["in_lagrange_raw"]), {"squash": squash})
        yield Golden(case, z["out_mixed_advantages"])
