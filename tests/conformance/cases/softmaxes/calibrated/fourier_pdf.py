"""`fourier_pdf`: density that is a squared trigonometric polynomial."""

import numpy as np

from anymax.testing import Case, Golden

_PI = np.longdouble("3.14159265358979323846264338327950288")
_RNG = np.random.default_rng(28)
_T = _RNG.normal(size=(2, 3, 8))
_EDGES = np.concatenate([np.zeros((1, 8)), _T[0, :1] * 2.0**10, _T[0, 1:] * 2.0**-10])
_EDGES = np.concatenate([_EDGES, np.where(np.arange(8) == 3, np.nan, _T[1, :1])])
_EDGES = np.concatenate([_EDGES, np.where(np.arange(8) == 5, np.inf, _T[1, :1])])
_Z = _RNG.uniform(-1, 1, size=(2, 3, 5))

CASES = [
    Case("edges", (_EDGES, np.asarray([-1.0, -0.25, 0.5, 1.0])), wrt=(), compiled=True,
         condition=256.0),
    Case("smooth", (_T, _Z), smooth=True, compiled=True, condition=256.0),
    Case("shared_points", (_T, _Z[0, 0]), smooth=True, condition=256.0),
    Case("row", (_T[0, 0], _Z[0, 0]), condition=256.0),
    Case("no_point", (_T, np.zeros(0))),
]  # fmt: skip
INTEGERS = (0,)


def _polynomial(theta, z):
    """|sum_k a_k e^(i pi k z)|^2 with parameters (..., 2n) at points (..., m), and sum |a|^2."""
    n = theta.shape[-1] // 2
    x, y = theta[..., :n, None], theta[..., n:, None]
    turns = np.arange(n)[:, None] * z[..., None, :]
    angle = _PI * (turns - 2 * np.rint(turns / 2))
    real = np.sum(x * np.cos(angle) - y * np.sin(angle), axis=-2)
    imaginary = np.sum(x * np.sin(angle) + y * np.cos(angle), axis=-2)
    return real**2 + imaginary**2, np.sum(theta**2, axis=-1, keepdims=True)


def ORACLE(theta, z):
    size = np.max(np.abs(theta), axis=-1, keepdims=True)
    p, norm = _polynomial(theta / np.where(size == 0, 1, size), z)
    return np.where(norm == 0, 0.5, p / np.where(norm == 0, 1, 2 * norm))


def DRAW(rng):
    b, n, m = rng.integers(1, 4, size=3)
    theta = rng.normal(size=(b, 2 * n)) + 4 * (np.arange(2 * n) == 0) * n
    return Case("drawn", (theta, rng.uniform(-1, 1, size=m)), condition=256.0)


def GOLDEN(load):
    """One point a row of the official density, and the centres of the bins."""
    for name in ("bigparams", "odd", "one_freq"):
        z = load(f"fourier-head__{name}")
        points = Case(name, (z["in_params"], z["in_points"][:, None]))
        yield Golden(points, z["out_pdf_at_points"][:, None], rtol=1e-11)
        bins = int(z["in_bins"])
        centres = (2 * np.arange(bins) + 1) / bins - 1
        yield Golden(
            Case(f"{name}_centres", (z["in_params"], centres)), z["out_pdf_at_centers"], rtol=1e-11
        )
