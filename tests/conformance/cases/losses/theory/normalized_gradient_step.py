"""`normalized_gradient_step`: a gradient step of given length."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(9)
_A, _B = _RNG.normal(size=(3, 2)), _RNG.normal(size=(3, 2))
_LR = {"lr": np.asarray(0.5)}

CASES = [
    Case("smooth", (_A, _B), _LR, wrt=(0, 1, "lr"), smooth=True, condition=16.0),
    Case("default", (_A, _B), compiled=True, condition=16.0),
    Case("zero", (_A, 0 * _B), wrt=(0,)),
    Case("nan", (np.ones(2), np.asarray([1.0, np.nan])), wrt=()),
    Case("scalar", (np.asarray(2.0), np.asarray(-0.5)), wrt=(0,)),
    Case("empty", (np.zeros((0, 2)), np.zeros((0, 2)))),
]
INTEGERS = (0, 1)


def ORACLE(w, grad, *, lr=0.1):
    norm = np.sqrt(np.sum(grad * grad))
    return w - lr * grad / norm if norm != 0 else w + 0


def step_has_its_length(form, case):
    w, grad = case.args
    if not np.isfinite(grad).all() or not (grad != 0).any():
        return None
    step = form(w, grad, **case.options) - w
    return np.sqrt(np.sum(step * step)), np.asarray(case.options.get("lr", 0.1))


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=2))
    return Case("random", (rng.normal(size=shape), rng.normal(size=shape)), condition=1e3)


IDENTITIES = (step_has_its_length,)
