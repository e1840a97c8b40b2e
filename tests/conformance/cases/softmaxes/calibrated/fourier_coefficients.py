"""`fourier_coefficients`: autocorrelation of complex parameters."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(28)
_T = np.rint(8 * _RNG.normal(size=(2, 3, 8))) / 8.0
_EDGES = np.concatenate([np.zeros((1, 8)), np.where(np.arange(8) == 3, np.nan, _T[1, :1])])

# wrt=(): cotangents here are real; tests/test_softmaxes_fourier.py has the derivatives.
CASES = [
    Case("edges", (_EDGES,), wrt=(), compiled=True),
    Case("batch", (_T,), wrt=(), compiled=True, condition=64.0),
    Case("row", (_T[0, 0],), wrt=(), condition=64.0),
    Case("constant", (_T[0, :, :2],), wrt=()),
    Case("no_row", (np.zeros((0, 4)),), wrt=()),
]


def ORACLE(theta):
    n = theta.shape[-1] // 2
    a = theta[..., :n] + 1j * theta[..., n:]
    c = [np.sum(np.conj(a[..., : n - k]) * a[..., k:], axis=-1) for k in range(n)]
    return np.stack(c, axis=-1)


def DRAW(rng):
    b, n = rng.integers(1, 4, size=2)
    return Case("drawn", (np.rint(8 * rng.normal(size=(b, 2 * n))) / 8,), condition=64.0)


def GOLDEN(load):
    """The official coefficients."""
    for name in ("bigparams", "odd", "one_freq"):
        z = load(f"fourier-head__{name}")
        yield Golden(Case(name, (z["in_params"],), wrt=()), z["out_coeffs"])
