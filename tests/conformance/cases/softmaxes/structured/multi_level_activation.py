"""`multi_level_activation`: the staircase of sigmoids."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(31)
_X = _RNG.normal(size=(2, 3, 4))
_EDGE = np.asarray([0.0, 0.25, -0.25, 3.0, -3.0, 1e4, -1e4, np.inf, -np.inf, np.nan])

CASES = [
    Case("smooth", (_X,), {"num_levels": 3}, smooth=True, condition=4.0),
    Case("edges", (_EDGE,), {"num_levels": 3}, compiled=True, condition=4.0),
    Case("at_zero", (np.zeros((2, 2)),), {"num_levels": 1}, smooth=True),
    Case("one_level", (_X,), {"num_levels": 1, "steepness": 2.0, "spacing": 1.0}, smooth=True),
    Case(
        "learned", (_X,),
        {"num_levels": 2, "steepness": np.asarray([[1.5], [2.0], [4.0]]), "spacing": _X**2 + 0.5},
        wrt=(0, "steepness", "spacing"), smooth=True, condition=4.0,
    ),
    Case("many_levels", (_X[0],), {"num_levels": 17, "steepness": 3.0}, smooth=True, condition=8.0),
    Case("scalar", (np.asarray(0.5),), {"num_levels": 2}),
    Case("empty", (np.zeros((0, 4)),), {"num_levels": 2}),
]  # fmt: skip


def ORACLE(x, *, num_levels, steepness=10.0, spacing=0.5):
    i = np.arange(1, num_levels + 1).reshape(-1, *[1] * x.ndim)
    u = steepness * (x + spacing * (i - (num_levels + 1) / 2))
    return np.sum(np.where(u >= 0, 1 / (1 + np.exp(-u)), np.exp(u) / (1 + np.exp(u))), axis=0)


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=rng.integers(0, 3)))
    options = {"num_levels": int(rng.integers(1, 5)), "steepness": float(rng.integers(1, 5))}
    return Case("drawn", (rng.normal(size=shape),), options)


def _odd(form, case):
    x, n = case.args[0], case.options["num_levels"]
    return form(-x, **case.options), n - form(x, **case.options)


def _expected_level(form, case):
    """The mean level of an ordered logit with evenly spaced thresholds."""
    x, options = case.args[0], dict(case.options)
    if any(isinstance(v, np.ndarray) for v in options.values()) or not np.isfinite(x).all():
        return None
    n = options["num_levels"]
    t = options.get("spacing", 0.5) * (np.arange(1, n + 1) - (n + 1) / 2)
    p = np.exp(am.ordered_logit_log_softmax(x, t, steepness=options.get("steepness", 10.0)))
    return p @ np.arange(n + 1.0), form(x, **options)


IDENTITIES = (_odd, _expected_level)
