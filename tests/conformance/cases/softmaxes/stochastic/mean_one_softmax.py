"""`mean_one_softmax`: softmax scaled to a total."""

import numpy as np

from anymax._conformance.identities import permutation_equivariant, shift_invariant
from anymax._conformance.oracles import axes, taking_part, weights
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)

CASES = [
    *row_cases(),
    Case("total", (_X,), {"total": 2.5}, smooth=True),
    Case("totals", (_X,), {"total": np.asarray([[[1.0]], [[3.0]]])}),
]


def ORACLE(x, *, total=None, axis=-1, where=None):
    keep = taking_part(x, where)
    if total is None:
        total = np.sum(keep, axis=axes(x, axis), keepdims=True)
    return np.where(keep, weights(x, keep, axis) * total, 0)


def mean_is_one(form, case):
    x = case.args[0]
    if "total" in case.options or "where" in case.options or not np.isfinite(x).all() or not x.size:
        return None
    axis = case.options.get("axis", -1)
    w = np.asarray(form(x, **case.options))
    return np.mean(w, axis=axis if x.ndim else None), np.ones(
        np.delete(x.shape, axis) if x.ndim else ()
    )


IDENTITIES = (mean_is_one, shift_invariant, permutation_equivariant)


def GOLDEN(load):
    """Flexora's continuous relaxation."""
    for name in ("scaled_softmax_1", "scaled_softmax_2"):
        z = load(f"flexora__{name}")
        case = Case(name, (z["in_logits"],))
        yield Golden(case, z["out_weights"], z["in_dy"], {0: z["out_dlogits"]})
