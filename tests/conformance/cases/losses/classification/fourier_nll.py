"""`fourier_nll`: surprise of points under the Fourier density."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax.testing import Case, Golden

_PI = np.longdouble("3.14159265358979323846264338327950288")
_RNG = np.random.default_rng(44)
_T = _RNG.normal(size=(2, 3, 8))
_Z = _RNG.uniform(-1, 1, size=(2, 3))
_KEEP = np.asarray([[True, False, True], [True, True, False]])
_WEIGHT = np.asarray([[1.0], [0.5]])
_EDGES = np.concatenate([np.zeros((1, 8)), _T[0, :1] * 2.0**10, _T[0, 1:] * 2.0**-10, _T[1]])
_EDGES[4, 3], _EDGES[5, 5], _EDGES[6, 0] = np.nan, np.inf, np.nan
_POINTS = np.asarray([0.5, -1.0, 1.0, 0.0, 0.25, 0.25, np.nan])
_PART = np.arange(7) < 6
_ALL = {"where": _KEEP, "weight": _WEIGHT}

CASES = [
    Case("edges", (_EDGES, _POINTS), {"where": _PART, "reduction": "none"}, wrt=(), compiled=True,
         condition=64.0),
    Case("mean", (_T, _Z), smooth=True, compiled=True, condition=64.0),
    Case("masked", (_T, _Z), _ALL, wrt=(0, 1, "weight"), smooth=True, condition=64.0),
    Case("nan_masked", (np.where(_KEEP[..., None], _T, np.nan), _Z), {"where": _KEEP},
         condition=64.0),
    Case("shared", (_T[0, 0], _Z), {"reduction": "sum"}, condition=64.0),
    Case("row", (_T[0, 0], np.asarray(0.375)), condition=64.0),
    Case("constant", (_T[0, :, :2], _Z[0]), condition=8.0),
    Case("no_row", (np.zeros((0, 4)), np.zeros(0))),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(theta, target, *, where=None, weight=None, reduction="mean"):
    n = theta.shape[-1] // 2
    size = np.max(np.abs(theta), axis=-1, keepdims=True)
    theta = theta / np.where(size == 0, 1, size)
    turns = np.arange(n) * target[..., None]
    angle = _PI * (turns - 2 * np.rint(turns / 2))
    x, y = theta[..., :n], theta[..., n:]
    real = np.sum(x * np.cos(angle) - y * np.sin(angle), axis=-1)
    imaginary = np.sum(x * np.sin(angle) + y * np.cos(angle), axis=-1)
    norm = 2 * np.sum(theta**2, axis=-1)
    p = np.where(norm == 0, 0.5, (real**2 + imaginary**2) / np.where(norm == 0, 1, norm))
    return reduced(-np.log(p), reduction, live=where, weight=weight)


def DRAW(rng):
    b, n = rng.integers(1, 4, size=2)
    theta = rng.normal(size=(b, 2 * n)) + 4 * (np.arange(2 * n) == 0) * n
    return Case("drawn", (theta, rng.uniform(-1, 1, size=b)), condition=64.0)


def _log_of_the_density(form, case):
    theta, z = case.args
    if case.options.get("reduction") != "none" or np.ndim(z) == 0:
        return None
    p = am.softmaxes.fourier_pdf(theta, np.where(_PART, z, 0.0)[..., None])[..., 0]
    return form(theta, z, **case.options), np.where(_PART, -np.log(p), 0.0)


IDENTITIES = (_log_of_the_density,)


def GOLDEN(load):
    """Logarithms of the official densities, which are sums of cosines."""
    for name in ("bigparams", "odd", "one_freq"):
        z = load(f"fourier-head__{name}")
        case = Case(name, (z["in_params"], z["in_points"]), {"reduction": "none"})
        yield Golden(case, -np.log(z["out_pdf_at_points"]), rtol=1e-10)
