"""`top_k_softmax_gate`: softmax gate over the k best experts."""

from dataclasses import replace

import numpy as np

from anymax._conformance.oracles import axes, taking_part, weights
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_BIAS = np.asarray([2.5, -1.0, 0.25, 1.5])


def _chooses_two(case):
    """Rows of six tied logits have no derivative: theirs are made different."""
    x = case.args[0].copy()
    if x.ndim == 2 and x.shape[-1] == 6 and x.shape[0] > 1:
        x[1] = [1.0, 0.5, -0.25, 2.0, 0.0, 3.0]
    return replace(case, args=(x,), options={**case.options, "k": 2})


CASES = [
    *map(_chooses_two, row_cases()),
    Case("biased", (_X,), {"k": 2, "bias": _BIAS}, wrt=(0, "bias"), smooth=True, compiled=True),
    Case("selected", (_X,), {"k": 2, "bias": _BIAS, "select_with_bias": True}, wrt=(0, "bias"),
         smooth=True),
    Case("one", (_X,), {"k": 1}),
    Case("all", (_X,), {"k": 9}, smooth=True),
    Case("ties", (np.asarray([[1.0, 2.0, 1.0, 1.0, 2.0, 1.0]] * 2),), {"k": 3}, wrt=()),
]  # fmt: skip


def ORACLE(scores, *, k, bias=None, select_with_bias=False, axis=-1, where=None):
    z = scores if bias is None else scores + bias
    keep = taking_part(scores, where)
    key = (
        np.where(np.isnan(z), np.inf, z)
        if select_with_bias
        else (np.where(np.isnan(scores), np.inf, scores))
    )
    chosen = _chosen(np.where(keep, key, -np.inf), k, axes(scores, axis)) & keep
    return weights(z, chosen, axis)


def _chosen(key, k, axis):
    """The k largest of each row, in the order of -key, then of places."""
    if key.ndim == 0:
        return np.ones((), bool)
    rest = tuple(a for a in range(key.ndim) if a not in {b % key.ndim for b in axis})
    order = (*rest, *sorted(b % key.ndim for b in axis))
    moved = key.transpose(order)
    rows = moved.reshape(*moved.shape[: len(rest)], -1) if key.size else moved
    best = np.argsort(-rows, axis=-1, kind="stable")
    rank = np.argsort(best, axis=-1, kind="stable")
    return (rank < k).reshape(moved.shape).transpose(np.argsort(order))


def DRAW(rng):
    x = np.rint(2 * rng.normal(size=tuple(rng.integers(1, 6, size=2))))
    return Case("drawn", (x,), {"k": int(rng.integers(1, 6))})


def renormalised_softmax(form, case):
    """The softmax of all, divided by the share of the chosen."""
    from anymax import softmax

    x, options = case.args[0], dict(case.options)
    if not np.isfinite(x).all() or x.ndim == 0 or "where" in options or "bias" in options:
        return None
    gate = np.asarray(form(x, **options))
    p = np.where(gate > 0, softmax(x, axis=options.get("axis", -1)), 0)
    total = np.sum(p, axis=options.get("axis", -1), keepdims=True)
    return p / np.where(total == 0, 1, total), gate


IDENTITIES = (renormalised_softmax,)
