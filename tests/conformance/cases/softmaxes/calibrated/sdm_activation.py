"""Similarity-distance-magnitude activation."""

from dataclasses import replace

import numpy as np

from anymax._conformance.identities import shift_invariant
from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case, Golden, logits, row_cases

_RNG = np.random.default_rng(23)
_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_Q, _D = np.rint(9 * _RNG.uniform(size=(2, 3, 1))), _RNG.uniform(size=(2, 3, 1))


def _scaled(case):
    """One similarity and one distance for all rows; logits of 1e4 magnify the rounding of them."""
    x, q, d = case.args[0], np.asarray(1.5), np.asarray(0.75)
    if x.ndim:
        q, d = (np.broadcast_to(a, (1,) * x.ndim).copy() for a in (q, d))
    extreme = np.any(np.abs(x[np.isfinite(x)]) > 1e3)
    return replace(case, args=(x, q, d), wrt=(0,), condition=2e3 if extreme else 1.0)


_ROWS = [_scaled(c) for c in row_cases()]

CASES = [
    *(replace(c, options={**c.options, "axis": c.options.get("axis", -1)}) for c in _ROWS),
    Case("batch", (_X, _Q, _D), smooth=True, condition=16.0),
    Case("masked", (_X, _Q, _D), {"where": _X < 1}, smooth=True, condition=16.0),
    Case("flat", (_X, _Q, 0.0 * _D), wrt=(0, 1)),
    Case("distance_per_class", (_X, _Q, _RNG.uniform(size=(2, 3, 4))), condition=16.0),
    Case("masked_rows", (_X, np.where(_Q > 4, np.nan, _Q), _D), {"where": _Q <= 4}),
]
CASES = [replace(c, name=f"rows_{c.name}") if i < len(_ROWS) else c for i, c in enumerate(CASES)]
INTEGERS = (0, 1, 2)


def ORACLE(x, q, d, *, axis=-1, where=None):
    keep = taking_part(x, where)
    x = np.where(x == np.inf, np.nan, x)
    return weights(np.where(keep, d * np.log(2 + q) * np.where(keep, x, 0), 0), keep, axis)


def DRAW(rng):
    n, c = rng.integers(1, 6, size=2)
    args = rng.normal(size=(n, c)), 9 * rng.uniform(size=(n, 1)), rng.uniform(size=(n, 1))
    return Case("drawn", args, condition=8.0)


def softmax_at_e_minus_two(form, case):
    from anymax import softmax

    x = case.args[0]
    q, d = np.asarray(np.e - 2.0), np.asarray(1.0)
    if not np.all(np.abs(x) < 1e3):
        return None
    return form(x, q, d, **case.options), softmax(x, **case.options)


def a_constant_changes_nothing(form, case):
    return None if case.args[2].shape[-1:] > (1,) else shift_invariant(form, case)


IDENTITIES = (softmax_at_e_minus_two, a_constant_changes_nothing)


def GOLDEN(load):
    """soft_sdm_max of the official code."""
    for name in ("small", "edge"):
        z = load(f"sdm__sdm_activation_{name}")
        args = z["in_logits"], z["in_q"][:, None], z["in_d"][:, None]
        yield Golden(Case(name, args), z["out_sdm"], rtol=1e-11)
