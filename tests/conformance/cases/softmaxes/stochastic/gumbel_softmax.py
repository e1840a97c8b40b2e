"""Gumbel-softmax: softmax of logits plus noise."""

from dataclasses import replace

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case, Golden, logits, row_cases

_RNG = np.random.default_rng(5)


def _noisy(case):
    """Noise in eighths, so that sums with huge logits are exact."""
    noise = np.rint(8.0 * _RNG.gumbel(size=case.args[0].shape)) / 8.0
    return replace(case, args=(case.args[0], noise))


_X, _G = logits(6, 4, seed=3).reshape(2, 3, 4), _RNG.gumbel(size=(2, 3, 4))

CASES = [
    *map(_noisy, row_cases()),
    Case("cool", (_X, _G), {"temperature": 0.5}, smooth=True),
    Case(
        "temperatures", (_X, _G), {"temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, 1, "temperature"), smooth=True, condition=16.0,
    ),
    Case("infinite_noise", (_X[0], np.where(_G[0] > 1, -np.inf, _G[0]))),
    Case("many_draws", (_X[0], _RNG.gumbel(size=(5, 3, 4))), {"axis": -1}),
    # The gradient is the soft value's, which differences of the value can't show.
    Case("hard", (_X, _G), {"hard": True, "temperature": 0.5}, wrt=(), compiled=True),
    Case("hard_ties", (np.zeros((2, 5)), np.zeros((2, 5))), {"hard": True}, wrt=()),
    Case("hard_edges", _noisy(row_cases()[1]).args, {**row_cases()[1].options, "hard": True}, ()),
]  # fmt: skip


def ORACLE(logits, gumbel, *, hard=False, axis=-1, where=None, temperature=1.0):
    x = logits + gumbel
    x = np.where((logits == -np.inf) | (gumbel == -np.inf), -np.inf, x)
    keep = taking_part(x, where)
    p = weights(x / temperature, keep, axis)
    if not hard:
        return p
    first = np.argmax(np.where(keep, x, -np.inf), axis=axis)
    hot = np.moveaxis(first[..., None] == np.arange(x.shape[axis]), -1, axis)
    return np.where(np.isnan(p), p, hot & keep)


def same_as_softmax_without_noise(form, case):
    from anymax import softmax

    if case.options.get("hard"):
        return None
    x = case.args[0]
    return form(x, np.zeros_like(x), **case.options), softmax(x, **case.options)


IDENTITIES = (same_as_softmax_without_noise,)


def GOLDEN(load):
    """torch.nn.functional.gumbel_softmax."""
    z = load("classic-gumbel-softmax__soft")
    options = {"temperature": float(z["in_tau"])}
    case = Case("soft", (z["in_logits"], z["in_gumbels"]), options)
    yield Golden(case, z["out_y"], z["in_cotangent"], {0: z["out_vjp_logits"]})
