"""`fourier_softmax`: categorical distribution over bins from Fourier parameters."""

import numpy as np

from anymax.testing import Case, Golden

_PI = np.longdouble("3.14159265358979323846264338327950288")
_RNG = np.random.default_rng(28)
_T = _RNG.normal(size=(2, 3, 8))
_EDGES = np.concatenate([np.zeros((1, 8)), _T[0, :1] * 2.0**10, _T[0, 1:] * 2.0**-10])
_EDGES = np.concatenate([_EDGES, np.where(np.arange(8) == 3, np.nan, _T[1, :1])])
_EDGES = np.concatenate([_EDGES, np.where(np.arange(8) == 5, np.inf, _T[1, :1])])

CASES = [
    Case("edges", (_EDGES,), {"num_bins": 5}, wrt=(), compiled=True, condition=64.0),
    Case("smooth", (_T,), {"num_bins": 7}, smooth=True, compiled=True, condition=64.0),
    Case("few_bins", (_T,), {"num_bins": 2}, condition=64.0),
    Case("row", (_T[0, 0],), {"num_bins": 6}, condition=64.0),
    Case("constant", (_T[0, :, :2],), {"num_bins": 3}, condition=8.0),
    Case("no_row", (np.zeros((0, 4)),), {"num_bins": 3}),
    Case("wide", (_RNG.normal(size=(3, 2, 40)),), {"num_bins": 301}, large=True, condition=1e4),
]


def _polynomial(theta, z):
    """|sum_k a_k e^(i pi k z)|^2 with parameters (..., 2n) at points (..., m), and sum |a|^2."""
    n = theta.shape[-1] // 2
    x, y = theta[..., :n, None], theta[..., n:, None]
    turns = np.arange(n)[:, None] * z[..., None, :]
    angle = _PI * (turns - 2 * np.rint(turns / 2))
    real = np.sum(x * np.cos(angle) - y * np.sin(angle), axis=-2)
    imaginary = np.sum(x * np.sin(angle) + y * np.cos(angle), axis=-2)
    return real**2 + imaginary**2, np.sum(theta**2, axis=-1, keepdims=True)


def ORACLE(theta, *, num_bins):
    z = (2 * np.arange(num_bins, dtype=np.longdouble) + 1) / num_bins - 1
    size = np.max(np.abs(theta), axis=-1, keepdims=True)
    p, _ = _polynomial(theta / np.where(size == 0, 1, size), z)
    s = np.sum(p, axis=-1, keepdims=True)
    return np.where(s == 0, 1 / np.longdouble(num_bins), p / np.where(s == 0, 1, s))


def DRAW(rng):
    b, n = rng.integers(1, 4, size=2)
    theta = rng.normal(size=(b, 2 * n)) + 4 * (np.arange(2 * n) == 0) * n
    return Case("drawn", (theta,), {"num_bins": int(rng.integers(1, 9))}, condition=64.0)


def scale_and_phase_drop_out(form, case):
    theta = case.args[0]
    if not np.isfinite(theta).all():
        return None
    x, y = np.split(theta, 2, axis=-1)
    c, s = np.cos(0.7), np.sin(0.7)
    turned = np.concatenate([c * x - s * y, s * x + c * y], axis=-1)
    return form(-3.0 * turned, **case.options), form(theta, **case.options)


IDENTITIES = (scale_and_phase_drop_out,)


def GOLDEN(load):
    """The official head, with the identity for its linear layer."""
    for name in ("bigparams", "odd", "one_freq"):
        z = load(f"fourier-head__{name}")
        case = Case(name, (z["in_params"],), {"num_bins": int(z["in_bins"])})
        yield Golden(case, z["out_pmf"])
