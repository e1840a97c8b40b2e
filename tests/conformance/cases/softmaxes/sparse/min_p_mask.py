"""`min_p_mask`: which are the logits with a fraction of the largest weight."""

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
    *(_distinct(case).with_(case.name, min_p=0.15) for case in row_cases()),
    Case("ties", (_TIES,), {"min_p": 0.55}, wrt=()),
    Case("three", (_X,), {"min_p": 0.9, "min_keep": 3}, wrt=()),
    Case("all", (_X,), {"min_p": 0.0}, wrt=()),
    Case("fractions", (_X,), {"min_p": np.asarray([[[0.25], [0.5], [0.0]]])}, wrt=()),
    Case("many", (untied(logits(3, 1500)),), {"min_p": 0.8125}, wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1), "min_p": 0.6}, wrt=()),
    Case("warm", (_X,), {"min_p": 0.6, "temperature": 2.0}, wrt=()),
]  # fmt: skip


def _kept(z, min_p, min_keep, temperature):
    """By probabilities, as the definition says."""
    z = z / temperature
    rank = np.argsort(np.argsort(-z, axis=-1, kind="stable"), axis=-1)
    return (np.exp(z) >= min_p) | (rank < min_keep)


def ORACLE(x, *, min_p, min_keep=1, axis=-1, where=None, temperature=1.0):
    """Everything that takes part in a row with NaN or +inf."""
    kept = by_rows(x, axis, where, _kept, min_p, min_keep, temperature)
    return np.isnan(kept) | (kept == 1)


def DRAW(rng):
    shape = (*rng.integers(1, 4, rng.integers(0, 3)), int(rng.integers(1, 7)))
    return Case("drawn", (rng.normal(size=shape),), {"min_p": float(rng.uniform())})


IDENTITIES = (
    permutation_equivariant, selected_classes, shift_invariant,
)  # fmt: skip
