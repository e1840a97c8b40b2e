"""Softmax: exponentials over their sum."""

import numpy as np

from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
    sums_to_one,
)
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)

CASES = [
    *row_cases(),
    Case("cool", (_X,), {"temperature": 0.5}, smooth=True),
    Case(
        "temperatures", (_X,), {"temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, "temperature"), smooth=True,
    ),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
    Case("all_axes", (_X,), {"axis": None}),
]  # fmt: skip


def ORACLE(x, *, axis=-1, where=None, temperature=1.0):
    x = np.broadcast_to(x / temperature, x.shape)
    keep = (x != -np.inf) & (True if where is None else where)
    axis = tuple(range(x.ndim)) if axis is None else axis
    if x.ndim == 0:
        return np.where(np.isfinite(x), 1.0, np.nan) if keep else np.zeros(())
    top = np.max(x, axis=axis, keepdims=True, where=keep, initial=-np.inf)
    e = np.where(keep, np.exp(np.where(keep, x - np.where(keep.any(), top, 0), 0)), 0)
    s = np.sum(e, axis=axis, keepdims=True)
    return np.where(keep, e / np.where(s == 0, 1, s), 0)


IDENTITIES = (sums_to_one, shift_invariant, permutation_equivariant, selected_classes)


def GOLDEN(load):
    """torch without a mask, jax with one; both give NaN to a -inf cell of a bad row, we give 0."""
    for name in ("small", "inf"):
        z = load(f"classic-softmax__{name}")
        x, where = z["in_logits"], z["in_where"]

        def clean(key, x=x, z=z):
            return np.where(x == -np.inf, 0.0, z[key])

        yield Golden(Case(name, (x,)), clean("out_softmax"))
        yield Golden(Case(f"{name}_where", (x,), {"where": where}), clean("out_softmax_where"))
        yield Golden(Case(f"{name}_cool", (x,), {"temperature": 0.5}), clean("out_softmax_T0p5"))
        yield Golden(Case(f"{name}_axis0", (x,), {"axis": 0}), clean("out_softmax_axis0"))
