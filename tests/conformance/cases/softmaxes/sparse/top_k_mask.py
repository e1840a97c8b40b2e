"""`top_k_mask`: which are the k largest logits."""

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
    *(_distinct(case).with_(case.name, k=2) for case in row_cases()),
    Case("ties", (_TIES,), {"k": 2}, wrt=()),
    Case("strict", (_TIES,), {"k": 2, "strict": True}, wrt=()),
    Case("strict_masked", (_X,), {"k": 2, "strict": True, "where": _X > -1.0}, wrt=()),
    Case("more_than_all", (_X,), {"k": 9}, wrt=()),
    Case("counts", (_X,), {"k": np.asarray([[[1], [2], [3]], [[2], [4], [7]]])}, wrt=()),
    Case("many", (untied(logits(3, 1500)),), {"k": 77}, wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1), "k": 3}, wrt=()),
]  # fmt: skip


def _kept(z, k, strict):
    """By a sort, ties at the k-th largest decided by `strict`."""
    order = np.argsort(-z, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    k = np.broadcast_to(k, z.shape)
    if strict:
        return rank < k
    last = np.min(np.where(rank < k, z, np.inf), axis=-1, keepdims=True)
    return z >= last


def ORACLE(x, *, k, strict=False, axis=-1, where=None):
    """Everything that takes part in a row with NaN or +inf."""
    kept = by_rows(x, axis, where, _kept, k, strict)
    return np.isnan(kept) | (kept == 1)


def DRAW(rng):
    shape = (*rng.integers(1, 4, rng.integers(0, 3)), int(rng.integers(1, 7)))
    return Case(
        "drawn",
        (np.rint(rng.normal(size=shape) * 2),),
        {"k": int(rng.integers(1, 8)), "strict": bool(rng.integers(2))},
    )


def _reversed(form, case):
    """Strictly, ties go by their place."""
    return None if case.options.get("strict") else permutation_equivariant(form, case)


IDENTITIES = (
    _reversed, selected_classes, shift_invariant,
)  # fmt: skip
