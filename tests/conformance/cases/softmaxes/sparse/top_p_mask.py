"""`top_p_mask`: which are the largest logits that hold a mass."""

import numpy as np

from anymax._conformance.by_rows import by_rows, untied
from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
)
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_TIES = np.asarray(
    [[1.0, 2.0, 2.0, 2.0, 0.0], [3.0, 3.0, 3.0, 3.0, 3.0], [0.0, 1.0, 0.0, 1.0, 1.0]]
)


def _distinct(case):
    """No ties: what is kept jumps there, and has no derivative."""
    case = case.mapped(lambda _, x: untied(x) if x.dtype.kind == "f" else x)
    return case.with_(case.name, wrt=(), smooth=False)


CASES = [
    *(_distinct(case).with_(case.name, p=0.7) for case in row_cases()),
    Case("ties", (_TIES,), {"p": 0.55}, wrt=()),
    Case("three", (_X,), {"p": 0.1, "min_keep": 3}, wrt=()),
    Case("largest", (_X,), {"p": 0.0}, wrt=()),
    Case("all", (_X,), {"p": 1.0}, wrt=()),
    Case("masses", (_X,), {"p": np.asarray([[[0.25], [0.5], [0.75]]])}, wrt=()),
    Case("many", (untied(logits(3, 1500)),), {"p": 0.8125}, wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1), "p": 0.6}, wrt=()),
    Case("warm", (_X,), {"p": 0.6, "temperature": 2.0}, wrt=()),
]  # fmt: skip


def _kept(z, p, min_keep, temperature):
    """By a sort: what has less than p before it in stable descending order."""
    z = z / temperature
    order = np.argsort(-z, axis=-1, kind="stable")
    w = np.exp(np.take_along_axis(z, order, axis=-1))
    before = np.cumsum(w, axis=-1) - w
    chosen = before < p * np.sum(w, axis=-1, keepdims=True)
    chosen = (chosen | (np.arange(z.shape[-1]) < min_keep)) | (np.asarray(p) >= 1)
    return np.take_along_axis(chosen, np.argsort(order, axis=-1), axis=-1)


def ORACLE(x, *, p, min_keep=1, axis=-1, where=None, temperature=1.0):
    """Everything that takes part in a row with NaN or +inf."""
    kept = by_rows(x, axis, where, _kept, p, min_keep, temperature)
    return np.isnan(kept) | (kept == 1)


def DRAW(rng):
    shape = (*rng.integers(1, 4, rng.integers(0, 3)), int(rng.integers(1, 7)))
    return Case("drawn", (rng.normal(size=shape),), {"p": float(rng.integers(0, 33)) / 32})


def _reversed(form, case):
    """Ties go by their place."""
    return None if case.name == "ties" else permutation_equivariant(form, case)


IDENTITIES = (
    _reversed, selected_classes, shift_invariant,
)  # fmt: skip
