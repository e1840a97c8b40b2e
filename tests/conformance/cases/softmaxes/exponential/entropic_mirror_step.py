"""`entropic_mirror_step`: mirror step with the entropy: log-softmax of log-weights minus losses."""

from dataclasses import replace

import numpy as np

from anymax._conformance.oracles import log_weights, taking_part
from anymax.testing import Case, logits, row_cases

_RNG = np.random.default_rng(11)


def _step(case):
    """Losses in eighths, so that sums with huge logits are exact."""
    loss = np.rint(8.0 * _RNG.normal(size=case.args[0].shape)) / 8.0
    return replace(case, args=(case.args[0], loss), options={**case.options, "eta": 0.5})


_X, _G = logits(6, 4, seed=3).reshape(2, 3, 4), _RNG.normal(size=(2, 3, 4))

CASES = [
    *map(_step, row_cases()),
    Case("etas", (_X, _G), {"eta": np.asarray([[[0.5]], [[2.0]]])}, wrt=(0, 1, "eta"),
         smooth=True, condition=16.0),
    Case("no_move", (_X, np.where(_G > 1, np.inf, _G)), {"eta": 0.0}),
    Case("fatal", (_X, np.where(_G > 0.5, np.inf, _G)), {"eta": 1.0}, compiled=True,
         condition=8.0),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(log_w, grad, *, eta, axis=-1, where=None):
    step = np.where((eta == 0) & np.isinf(grad), 0, eta * grad)
    z = np.where(log_w == -np.inf, -np.inf, log_w - step)
    return log_weights(z, taking_part(z, where), axis)


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=2))
    args = np.rint(8 * rng.normal(size=shape)) / 8, np.rint(8 * rng.normal(size=shape)) / 8
    return Case("drawn", args, {"eta": 0.5})


def two_steps_are_one(form, case):
    """Losses add up: mirror descent is the softmax of their sum."""
    x, g = case.args
    if not (np.isfinite(x).all() and np.isfinite(g).all()):
        return None
    twice = form(form(x, g, **case.options), g, **case.options)
    return twice, form(x, g, **{**case.options, "eta": 2.0 * case.options["eta"]})


IDENTITIES = (two_steps_are_one,)
