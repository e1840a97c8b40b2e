"""`factored_backward_update`: a step of gradient descent on a layer that is not formed.

The oracle forms it: the weights, the gradient by all logits, and the step.
"""

import numpy as np

from anymax.testing import Case, Golden

_V = np.asarray([[1, 0, -1], [0, 1, 1], [-1, 1, 0], [1, 1, 0], [0, -1, 1]]) / 1.0
_U, _INVERSE = np.asarray([[1, 0, 0], [1, 1, 0], [0, -1, 1]]), [[1, 0, 0], [-1, 1, 0], [-1, 1, 1]]
_OMEGA = np.asarray([1.0, 0.0, -1.0])
_W = _V @ _U + _OMEGA  # whole numbers: rounding to eight bits leaves all of the state consistent
_LAYER = (_V, _U / 1.0, np.transpose(_INVERSE) / 1.0, _OMEGA, _W.T @ _W, _W.sum(axis=0))
_RNG = np.random.default_rng(43)
_H = _RNG.normal(size=(4, 3))
_INDEX = np.asarray([[0, 4], [2, 2], [4, 3], [-1, 0]])
_GRADIENTS = _RNG.normal(size=(4, 2)), 0.125 * _RNG.normal(size=4), _RNG.normal(size=4)
_ARGS = (_H, _INDEX, *_GRADIENTS, _LAYER)
_ONE = (_H[:1], _INDEX[:1, :1], _GRADIENTS[0][:1, :1], *(g[:1] for g in _GRADIENTS[1:]), _LAYER)
_STEP = {"wrt": (), "condition": 256.0}

CASES = [
    Case("batch", _ARGS, {"lr": 0.125}, compiled=True, **_STEP),
    Case("rows", _ARGS, {"lr": 0.125, "return_rows": True}, **_STEP),
    Case("refreshed", _ARGS, {"lr": 0.125, "refresh": True}, **_STEP),
    Case("one", _ONE, {"lr": 0.25}, **_STEP),
    Case("still", _ARGS, {"lr": 0.0}, **_STEP),
]


def _inverse(u):
    """Gauss-Jordan with pivots, in the precision of `u`."""
    n = len(u)
    a = np.concatenate([u, np.eye(n, dtype=u.dtype)], axis=1)
    for i in range(n):
        p = i + np.argmax(np.abs(a[i:, i]))
        a[[i, p]] = a[[p, i]]
        a[i] = a[i] / a[i, i]
        a = a - np.where(np.arange(n) == i, 0, a[:, i])[:, None] * a[i]
    return a[:, n:]


def ORACLE(h, index, da, dq, ds, layer, *, lr, refresh=False, return_rows=False):
    v, u, _, omega, _, _ = layer
    w = v @ u + omega
    g = ds[:, None] + 2 * dq[:, None] * (h @ w.T)
    hit = index[..., None] == np.arange(len(v))
    asked = np.sum(np.where(hit, da[..., None], 0), axis=1)
    g = g + asked
    new = w - lr * g.T @ h
    if refresh:
        one = np.eye(h.shape[1])
        return g @ w, (new, one, one, np.zeros_like(omega), new.T @ new, new.sum(axis=0))
    omega = omega - lr * ((2 * dq * (h @ omega) + ds) @ h)
    u = u - lr * (h @ u.T).T @ (2 * dq[:, None] * h)
    v = v - lr * asked.T @ (h @ _inverse(u))
    if return_rows:
        v = v[np.maximum(index, 0)]
    return g @ w, (v, u, _inverse(u).T, omega, new.T @ new, new.sum(axis=0))


def DRAW(rng):
    m, k, c, d = rng.integers(1, 5, size=4)
    w, one = rng.integers(-4, 5, size=(c, d)) / 2.0, np.eye(d)
    layer = (w, one, one, np.zeros(d), w.T @ w, w.sum(axis=0))
    gradients = rng.normal(size=(m, k)), 0.25 * rng.normal(size=m), rng.normal(size=m)
    args = 0.5 * rng.normal(size=(m, d)), rng.integers(-1, c, size=(m, k)), *gradients, layer
    return Case("drawn", args, {"lr": 0.0625}, wrt=(), condition=4096.0)


def _weights_are_the_dense_ones(form, case):
    """The rows and what multiplies them give the weights of the step with `refresh`."""
    options = {"lr": case.options["lr"]}
    _, (v, u, u_inv_t, omega, *_) = form(*case.args, **options)
    _, (w, *_) = form(*case.args, **options, refresh=True)
    dense = v @ u + omega
    return np.concatenate([dense, u.T @ u_inv_t]), np.concatenate([w, np.eye(len(u))])


INTEGERS = ()
IDENTITIES = (_weights_are_the_dense_ones,)


def GOLDEN(load):
    """The official dense reference: gradients by the inputs, and weights after the step."""
    for name in ("k3", "scaled"):
        z = load(f"z-loss__factored_{name}")
        w, u = z["in_W"], z["in_UT"].T
        layer = (z["in_V"], u, np.linalg.inv(u).T, z["in_omega"], w.T @ w, w.sum(axis=0))
        m, k = z["in_idx"].shape
        squared = np.where(np.arange(k) == 0, -2.0, np.zeros((m, 1))), np.ones(m), np.zeros(m)
        statistics = z["out_dz_dA"], z["out_dz_dq"], z["out_dz_ds"]
        for loss, gradients in (("z", statistics), ("mse", squared)):
            args = (z["in_H"], z["in_idx"], *gradients, layer)
            options = {"lr": float(z["in_eta"]), "refresh": True}
            new, one = z[f"out_{loss}_new_W"], np.eye(len(u))
            state = (new, one, one, np.zeros(len(u)), new.T @ new, new.sum(axis=0))
            case = Case(f"{name}_{loss}", args, options, wrt=())
            yield Golden(case, (z[f"out_{loss}_grad_H"], state), rtol=1e-10)
