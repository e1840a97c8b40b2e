"""`factored_forward`: requested logits and the sums of all of them."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(42)
_SHAPES = ((5, 3), (3, 3), (3, 3), (3,), (3, 3), (3,))
_H = _RNG.normal(size=(4, 3))
_LAYER = tuple(_RNG.normal(size=shape) for shape in _SHAPES)
_INDEX = np.asarray([[0, 4], [2, 2], [-1, 3], [-1, -1]])
_USED = (0, (2, 0), (2, 1), (2, 3), (2, 4), (2, 5))  # all but the inverse of u

CASES = [
    Case("smooth", (_H, _INDEX, _LAYER), wrt=_USED, smooth=True, compiled=True, condition=64.0),
    Case("one", (_H, _INDEX[:, 1:], _LAYER), condition=64.0, wrt=(0,)),
    Case("none", (_H, _INDEX[:, :0], _LAYER), condition=64.0, wrt=(0,)),
]


def ORACLE(h, index, layer):
    v, u, _, omega, gram, w_sum = layer
    logits = h @ (v @ u + omega).T
    a = np.take_along_axis(logits, np.maximum(index, 0), axis=1)
    return np.where(index < 0, 0, a), np.sum((h @ gram) * h, axis=-1), h @ w_sum


def DRAW(rng):
    m, k, c, d = rng.integers(1, 5, size=4)
    shapes = ((c, d), (d, d), (d, d), (d,), (d, d), (d,))
    layer = tuple(rng.normal(size=shape) for shape in shapes)
    args = rng.normal(size=(m, d)), rng.integers(-1, c, size=(m, k)), layer
    return Case("drawn", args, condition=256.0)


INTEGERS = (0,)


def GOLDEN(load):
    """The official dense reference of the layer."""
    for name in ("k3", "scaled"):
        z = load(f"z-loss__factored_{name}")
        w, u = z["in_W"], z["in_UT"].T
        layer = (z["in_V"], u, np.linalg.inv(u).T, z["in_omega"], w.T @ w, w.sum(axis=0))
        case = Case(name, (z["in_H"], z["in_idx"], layer))
        yield Golden(case, (z["out_A"], z["out_q"], z["out_s"]))
