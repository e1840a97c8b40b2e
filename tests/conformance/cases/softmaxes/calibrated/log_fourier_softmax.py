"""`log_fourier_softmax`: logarithm of the categorical distribution over bins."""

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
    Case("smooth", (_T,), {"num_bins": 7}, smooth=True, compiled=True, condition=256.0),
    Case("floor", (_T,), {"num_bins": 7, "eps": 1e-5}, smooth=True, condition=256.0),
    Case("floor_edges", (_EDGES,), {"num_bins": 5, "eps": 0.25}, wrt=(), condition=64.0),
    Case("row", (_T[0, 0],), {"num_bins": 6}, condition=256.0),
    Case("no_row", (np.zeros((0, 4)),), {"num_bins": 3}),
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


def ORACLE(theta, *, num_bins, eps=0.0):
    z = (2 * np.arange(num_bins, dtype=np.longdouble) + 1) / num_bins - 1
    size = np.max(np.abs(theta), axis=-1, keepdims=True)
    p, _ = _polynomial(theta / np.where(size == 0, 1, size), z)
    s = np.sum(p, axis=-1, keepdims=True)
    p = np.where(s == 0, 1 / np.longdouble(num_bins), p / np.where(s == 0, 1, s))
    return np.log(p + eps)


def DRAW(rng):
    b, n = rng.integers(1, 4, size=2)
    theta = rng.normal(size=(b, 2 * n)) + 4 * (np.arange(2 * n) == 0) * n
    return Case("drawn", (theta,), {"num_bins": int(rng.integers(2, 9))}, condition=1e4)


def logarithm_of_the_bins(form, case):
    from anymax import fourier_softmax

    options = {k: v for k, v in case.options.items() if k != "eps"}
    eps = case.options.get("eps", 0.0)
    return np.exp(form(*case.args, **case.options)), fourier_softmax(*case.args, **options) + eps


IDENTITIES = (logarithm_of_the_bins,)


def GOLDEN(load):
    """The official layer's output, log(p + 1e-5), and its gradients."""
    for name in ("bigparams", "odd", "one_freq"):
        z = load(f"fourier-head__{name}")
        eps = float(z["in_const_inverse_softmax"])
        case = Case(name, (z["in_params"],), {"num_bins": int(z["in_bins"]), "eps": eps})
        grads = {0: z["out_vjp_params"]}
        yield Golden(case, z["out_logits"], z["in_cotangent"], grads, rtol=1e-9)
