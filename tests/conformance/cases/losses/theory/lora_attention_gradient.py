"""`lora_attention_gradient`: gradients of attention regression by the factors of an update."""

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case

_RNG = np.random.default_rng(2)
_FACTORS = tuple(_RNG.normal(size=s) for s in ((3, 3), (2, 3), (3, 2)))
_INPUTS = _RNG.normal(size=(2, 5, 2)), _RNG.normal(size=(2, 4, 2))
_ARGS = _RNG.normal(size=(2, 4, 3)), _RNG.normal(size=(2, 5, 3)), *_FACTORS, _INPUTS
_ONE = (_ARGS[0][0], _ARGS[1][0], *_FACTORS, (_INPUTS[0][0], _INPUTS[1][0]))
_ZERO = (*_ONE[:4], np.zeros((3, 2)), _ONE[5])

CASES = [  # of derivatives, nothing is differentiated
    Case("batch", _ARGS, {"scale": 0.5}, wrt=(), compiled=True, condition=64.0),
    Case("one", _ONE, {"lora_alpha": 4.0}, wrt=(), condition=64.0),
    Case("start", _ZERO, wrt=(), condition=64.0),
]


def ORACLE(x1, x2, w0, lora_a, lora_b, inputs, *, lora_alpha=None, scale=1.0):
    h, target = inputs
    factor = 1.0 if lora_alpha is None else lora_alpha / lora_a.shape[0]
    t = lambda x: np.swapaxes(x, -1, -2)  # noqa: E731
    s = scale * x1 @ (w0 + factor * lora_b @ lora_a) @ t(x2)
    f = weights(s, taking_part(s))
    q = (f @ h - target) @ t(h)
    p = f * (q - np.sum(f * q, axis=-1, keepdims=True))
    g = scale * t(x1) @ p @ x2
    g = np.sum(g, axis=tuple(range(g.ndim - 2)))
    return factor * lora_b.T @ g, factor * g @ lora_a.T


def gradient_by_the_tape(form, case):
    import anymax as am

    x1, x2, w0, a, b, (h, target) = case.args
    scale, alpha = case.options.get("scale", 1.0), case.options.get("lora_alpha", a.shape[0])

    def loss(a, b):
        w = w0 + (b @ a) * (alpha / a.shape[0])
        return am.attention_regression_loss(x1, x2, w, h, target, scale=scale)

    grads = am.vjp(loss, a, b)[1](np.ones(()))
    mine = form(*case.args, **case.options)
    return tuple(np.concatenate([np.ravel(y) for y in pair]) for pair in (mine, grads))


def DRAW(rng):
    n, m, d, r, dv = rng.integers(1, 5, size=5)
    shapes = ((n, d), (m, d), (d, d), (r, d), (d, r))
    inputs = rng.normal(size=(m, dv)), rng.normal(size=(n, dv))
    args = (*(rng.normal(size=s) for s in shapes), inputs)
    return Case("random", args, {"scale": 0.25}, wrt=(), condition=1e3)


IDENTITIES = (gradient_by_the_tape,)
