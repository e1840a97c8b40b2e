"""`fourier_smoothness`: distance of a distribution from its blurred copies."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(29)
_P = _RNG.dirichlet(np.ones(6), size=(2, 3))
_EDGES = np.stack([np.eye(6)[2], np.where(np.arange(6) == 1, np.nan, 0.125), np.arange(6.0) / 8.0])

CASES = [
    Case("edges", (_EDGES,), wrt=(), compiled=True, condition=64.0),
    Case("smooth", (_P,), smooth=True, compiled=True, condition=64.0),
    Case("scales", (_P,), {"num_scales": 3}, condition=64.0),
    Case("first_axis", (_P,), {"axis": 1}, condition=64.0),
    Case("row", (_P[0, 0],), condition=64.0),
    Case("one_bin", (np.ones((3, 1)),)),
    Case("no_bin", (np.ones((3, 0)),)),
    Case("no_row", (np.ones((0, 3)),)),
]


def ORACLE(pmf, *, axis=-1, num_scales=100):
    """The filters as they are defined, wrapping around."""
    p = np.moveaxis(pmf, axis, -1)
    m = p.shape[-1]
    offsets = np.arange(1 - m, m)
    total = np.zeros(p.shape[:-1], np.longdouble)
    for sigma in range(1, num_scales + 1 if m else 1):
        kernel = np.exp(-0.5 * (offsets / np.longdouble(sigma)) ** 2)
        kernel = kernel / np.sum(kernel)
        blurred = sum(w * np.roll(p, d, axis=-1) for w, d in zip(kernel, offsets))
        norm = np.sqrt(np.sum((p - blurred) ** 2, axis=-1))
        norm = np.where(norm < 1e-17, 0, norm)
        total = total + 6 / (np.longdouble(np.pi) * sigma) ** 2 * norm
    return total


def DRAW(rng):
    b, m = rng.integers(2, 5, size=2)
    return Case("drawn", (rng.dirichlet(np.ones(m), size=b),), condition=1e3)


def GOLDEN(load):
    """The official metric, by SciPy's gaussian_filter1d."""
    z = load("fourier-head__smoothness")
    yield Golden(Case("metric", (z["in_pmf"],)), z["out_smoothness"], rtol=1e-11)
