"""`fourier_icdf`: quantiles of the Fourier density."""

import numpy as np

from anymax.testing import Case, Golden

_PI = np.longdouble("3.14159265358979323846264338327950288")
_RNG = np.random.default_rng(28)
_T = _RNG.normal(size=(2, 3, 6)) + 4.0 * (np.arange(6) == 0)  # densities well above 0
_U = _RNG.uniform(0.1, 0.9, size=(2, 3, 4))
_EDGES = np.concatenate([np.zeros((1, 6)), np.where(np.arange(6) == 3, np.nan, _T[1, :1]), _T[0]])

CASES = [
    Case("edges", (_EDGES, np.asarray([0.25, np.nan, 0.625, -0.5, 1.5])), wrt=(), compiled=True,
         condition=256.0),
    Case("smooth", (_T, _U), smooth=True, compiled=True, condition=256.0),
    Case("shared_points", (_T, _U[0, 0]), condition=256.0),
    Case("row", (_T[0, 0], _U[0, 0]), condition=256.0),
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


def ORACLE(theta, u):
    shape = np.broadcast_shapes(theta.shape[:-1], u.shape[:-1])
    u = np.broadcast_to(u, (*shape, u.shape[-1]))
    low, high = -np.ones(u.shape, np.longdouble), np.ones(u.shape, np.longdouble)
    for _ in range(66):
        middle = (low + high) / 2
        left = _distribution(theta, middle) < u
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    bad = np.isnan(theta).any(axis=-1, keepdims=True) | ~((u >= 0) & (u <= 1))
    return np.where(bad, np.nan, low)


def DRAW(rng):
    b, n, m = rng.integers(1, 4, size=3)
    theta = rng.normal(size=(b, 2 * n)) + 8 * (np.arange(2 * n) == 0) * n
    return Case("drawn", (theta, rng.uniform(0.1, 0.9, size=m)), condition=1e5)


def undoes_the_distribution_function(form, case):
    from anymax.softmaxes import fourier_cdf

    theta, u = case.args
    if not (np.isfinite(theta).all() and np.isfinite(u).all()) or u.size == 0:
        return None
    y = fourier_cdf(theta, form(theta, u))
    return y, np.broadcast_to(u, y.shape)


IDENTITIES = (undoes_the_distribution_function,)


def GOLDEN(load):
    """The official bisection of 25 steps."""
    for name in ("bigparams", "odd", "one_freq"):
        z = load(f"fourier-head__{name}")
        case = Case(name, (z["in_params"], z["in_uniform"][:, None]))
        yield Golden(case, z["out_inverse_cdf"][:, None], rtol=4e-8)
