"""`orthogonalize_gradient`: part of a gradient orthogonal to its parameter."""

import numpy as np

from anymax.testing import Case, Golden, logits

_G, _W = logits(3, 5, seed=1), logits(3, 5, seed=2)

CASES = [
    Case("rescaled", (_G, _W), smooth=True, compiled=True),
    Case("projected", (_G, _W), {"rescale": False}, smooth=True, compiled=True),
    Case("eps", (_G, _W), {"eps": 0.5}, smooth=True),
    Case("zero_parameter", (_G, 0.0 * _W), wrt=(0,)),
    Case("zero_gradient", (0.0 * _G, _W), wrt=()),
    Case("parallel", (2.0 * _W, _W), {"rescale": False}, wrt=(), condition=1e12),
    Case("scalar", (np.asarray(0.0), np.asarray(0.0)), wrt=()),
    Case("empty", (np.zeros((0, 3)), np.zeros((0, 3)))),
]
INTEGERS = (0, 1)


def ORACLE(grad, param, *, rescale=True, eps=1e-30):
    y = grad - np.sum(param * grad) / (np.sum(param * param) + eps) * param
    if not rescale:
        return y
    return y * np.sqrt(np.sum(grad**2)) / (np.sqrt(np.sum(y**2)) + eps)


def DRAW(rng):
    return Case("drawn", (rng.normal(size=(4, 3)), rng.normal(size=(4, 3))), {"rescale": False})


def _orthogonal_with_the_norm_of_the_gradient(form, case):
    g, w = case.args
    if not np.any(w) or not np.any(g) or case.name == "parallel" or case.options.get("eps"):
        return None
    y = form(g, w, **case.options)
    size = np.linalg.norm(g) if case.options.get("rescale", True) else np.linalg.norm(y)
    return np.asarray([1.0 + np.sum(y * w), np.linalg.norm(y)]), np.asarray([1.0, size])


IDENTITIES = (_orthogonal_with_the_norm_of_the_gradient,)


def GOLDEN(load):
    """The authors' optimizer; its parallel case is rounding noise, and is tested elsewhere."""
    for name in ("mat", "vec"):
        z = load(f"grokking-edge__perp_grad_{name}")
        yield Golden(Case(name, (z["in_g"], z["in_w"])), z["out_g"])
