"""`fourier_cdf`: distribution function of the Fourier density."""

import numpy as np

from anymax.testing import Case, Golden

_PI = np.longdouble("3.14159265358979323846264338327950288")
_RNG = np.random.default_rng(28)
_T = _RNG.normal(size=(2, 3, 8))
_EDGES = np.concatenate([np.zeros((1, 8)), _T[0, :1] * 2.0**10, _T[0, 1:] * 2.0**-10])
_EDGES = np.concatenate([_EDGES, np.where(np.arange(8) == 3, np.nan, _T[1, :1])])
_EDGES = np.concatenate([_EDGES, np.where(np.arange(8) == 5, np.inf, _T[1, :1])])
_Z = _RNG.uniform(-0.75, 1, size=(2, 3, 5))

CASES = [
    Case("edges", (_EDGES, np.asarray([-0.75, -0.25, 0.5, 1.0])), wrt=(), compiled=True,
         condition=256.0),
    Case("smooth", (_T, _Z), smooth=True, compiled=True, condition=256.0),
    Case("shared_points", (_T, _Z[0, 0]), smooth=True, condition=256.0),
    Case("row", (_T[0, 0], _Z[0, 0]), condition=256.0),
    Case("constant", (_T[0, :, :2], _Z[0, 0]), condition=64.0),
    Case("no_point", (_T, np.zeros(0))),
]  # fmt: skip
INTEGERS = (0,)


def _coefficients(theta):
    """Autocorrelation: real and imaginary parts."""
    n = theta.shape[-1] // 2
    x, y = theta[..., :n], theta[..., n:]
    pairs = [(x[..., : n - k], y[..., : n - k], x[..., k:], y[..., k:]) for k in range(n)]
    real = [np.sum(a * c + b * d, axis=-1) for a, b, c, d in pairs]
    imaginary = [np.sum(a * d - b * c, axis=-1) for a, b, c, d in pairs]
    return np.stack(real, axis=-1), np.stack(imaginary, axis=-1)


def _distribution(theta, z):
    size = np.max(np.abs(theta), axis=-1, keepdims=True)
    real, imaginary = _coefficients(theta / np.where(size == 0, 1, size))
    first = np.where(real[..., :1] == 0, 1, real[..., :1])
    k = np.arange(1, real.shape[-1], dtype=np.longdouble)[:, None]
    turns = k * z[..., None, :]
    angle = _PI * (turns - 2 * np.rint(turns / 2))
    u, v = (real[..., 1:] / first)[..., None], (imaginary[..., 1:] / first)[..., None]
    waves = (u * np.sin(angle) + v * (np.cos(angle) - (-1) ** k)) / (_PI * k)
    return (z + 1) / 2 + np.sum(waves, axis=-2)


def ORACLE(theta, z):
    return _distribution(theta, z)


def DRAW(rng):
    b, n, m = rng.integers(1, 4, size=3)
    return Case("drawn", (rng.normal(size=(b, 2 * n)), rng.uniform(0, 1, size=m)), condition=1e5)


def ends_are_zero_and_one(form, case):
    theta = case.args[0]
    if not np.isfinite(theta).all():
        return None
    y = np.asarray(form(theta, np.asarray([-1.0, 1.0])))
    return y, np.broadcast_to(np.asarray([0.0, 1.0]), y.shape)


IDENTITIES = (ends_are_zero_and_one,)


def GOLDEN(load):
    """One point a row of the official distribution function."""
    for name in ("bigparams", "odd", "one_freq"):
        z = load(f"fourier-head__{name}")
        case = Case(name, (z["in_params"], z["in_points"][:, None]))
        yield Golden(case, z["out_cdf"][:, None], rtol=1e-12)
