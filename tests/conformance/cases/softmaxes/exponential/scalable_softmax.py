"""`scalable_softmax`: scalable-Softmax: a softmax of (s log n + b) x."""

import numpy as np

import anymax as am
from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
    sums_to_one,
)
from anymax._conformance.weights import log_weights
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_CAUSAL = np.tril(np.ones((5, 5), bool))

CASES = [
    *row_cases(),
    Case("figure", (_X,), {"s": 0.43}, smooth=True),
    Case("bias", (_X,), {"s": 0.5, "b": -0.25}, smooth=True),
    Case("turned", (_X,), {"s": -1.0, "where": _X > -0.5}, smooth=True),
    Case("flat", (np.where(_X > 1, -np.inf, _X),), {"s": 0.0}),
    Case("causal", (logits(5, 5),), {"s": 0.43, "where": _CAUSAL}, smooth=True),
    Case("counted", (_X,), {"s": 0.5, "n": 100}, smooth=True),
    Case(
        "learned", (_X,), {"s": np.asarray([[[0.5]], [[-0.75]]]), "b": np.asarray([[[0.25]]])},
        wrt=(0, "s", "b"), smooth=True, compiled=True,
    ),
    Case("counts", (_X,), {"n": np.asarray([[[1], [2], [30]]]), "b": 0.5}, smooth=True),
    Case("one_s", (_X,), {"s": np.asarray(0.5), "where": _X > -0.5}, wrt=(0, "s")),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
    Case("all_axes", (_X,), {"axis": None}),
]  # fmt: skip


def ORACLE(x, *, s=1.0, b=0.0, n=None, axis=-1, where=None):
    keep = np.broadcast_to((x != -np.inf) & (True if where is None else where), x.shape)
    axes = tuple(range(x.ndim)) if axis is None or x.ndim == 0 else axis
    if n is None:
        n = np.sum(keep, axis=axes, keepdims=True)
    n = np.maximum(np.asarray(n, x.dtype), 1)
    return np.exp(log_weights(lambda x: (s * np.log(n) + b) * x, x, axis, where))


def _softmax_of_scaled_logits(form, case):
    """n^(s x) / sum n^(s x) is the softmax of s log(n) x."""
    x, options = case.args[0], dict(case.options)
    if "n" in options or not np.isfinite(x).all() or x.ndim == 0 or 0 in x.shape:
        return None
    s, b = options.pop("s", 1.0), options.pop("b", 0.0)
    where = np.broadcast_to(options.get("where", True), x.shape)
    n = np.maximum(np.sum(where, axis=options.get("axis", -1), keepdims=True), 1)
    return form(*case.args, **case.options), am.softmax(x * (s * np.log(n) + b), **options)


def _nothing_learned_is_uniform(form, case):
    x = case.args[0]
    if not np.isfinite(x).all() or "n" in case.options:
        return None
    options = {**case.options, "s": 0.0, "b": 0.0}
    plain = {k: v for k, v in case.options.items() if k in ("axis", "where")}
    return form(x, **options), am.softmax(0.0 * x, **plain)


def _gap_of_more_than_one_over_s_decides(form, case):
    """With s times the gap above 1 the top weight tends to 1 as n grows, below 1 to 0."""
    if case.name != "one_row":
        return None
    x = np.zeros(100_000)
    x[0] = 1.0
    weak, strong = (float(form(x, s=s)[0]) for s in (0.5, 2.0))
    assert weak < 0.01
    assert strong > 0.99
    return np.asarray([weak, strong]), 1.0 / (1.0 + 99_999.0 * 1e5 ** -np.asarray([0.5, 2.0]))


IDENTITIES = (
    sums_to_one,
    shift_invariant,
    permutation_equivariant,
    selected_classes,
    _softmax_of_scaled_logits,
    _nothing_learned_is_uniform,
    _gap_of_more_than_one_over_s_decides,
)
