"""`softmax_regression_hessian`: second derivatives of the softmax regression loss."""

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case

_RNG = np.random.default_rng(21)
_A, _X, _W = (_RNG.normal(size=s) for s in ((2, 5, 3), (2, 3), (2, 5)))
_B = _RNG.dirichlet(np.ones(5), size=2)

CASES = [  # of derivatives, nothing is differentiated
    Case("batch", (_A, _X, _B), {"w": _W}, wrt=(), compiled=True, condition=256.0),
    Case("plain", (_A[0], _X[0], _B[0]), wrt=(), condition=256.0),
    Case("no_row", (_A[:, :0], _X, _B[:, :0]), wrt=()),
]
INTEGERS = (0, 1, 2)


def ORACLE(a, x, b, *, w=None):
    z = np.sum(a * x[..., None, :], axis=-1)
    f = weights(z, taking_part(z))
    c = f - b
    outer = lambda p, q: p[..., :, None] * q[..., None, :]  # noqa: E731
    n = a.shape[-2]
    j = f[..., None] * np.eye(n) - outer(f, f)
    mean = np.sum(f * c, axis=-1)[..., None]
    inner = j @ j + (c * f - mean * f)[..., None] * np.eye(n) - outer(c * f, f) - outer(f, c * f)
    inner = inner + 2 * mean[..., None] * outer(f, f)
    if w is not None:
        inner = inner + (w * w)[..., None] * np.eye(n)
    return np.swapaxes(a, -1, -2) @ inner @ a


def symmetric(form, case):
    h = form(*case.args, **case.options)
    return h, np.swapaxes(h, -1, -2)


def DRAW(rng):
    n, d = rng.integers(1, 5, size=2)
    args = rng.normal(size=(n, d)), rng.normal(size=d), rng.dirichlet(np.ones(n))
    return Case("random", args, {"w": np.full(n, 3.0)}, wrt=(), condition=1e3)


IDENTITIES = (symmetric,)
