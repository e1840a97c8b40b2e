"""`orthonormal_regularizer`: distance of two factors from being orthonormal."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax.testing import Case, Golden, logits

_U, _V = logits(8, 3, seed=1).reshape(2, 4, 3) / 8.0, logits(6, 5, seed=2).reshape(2, 3, 5) / 8.0
_BAD = np.asarray([[np.nan, 1.0], [0.5, 0.25]])

CASES = [
    Case("mean", (_U, _V), compiled=True, smooth=True, condition=16.0),
    Case("adapters", (_U, _V), {"halve": True, "reduction": "none"}, smooth=True, condition=16.0),
    Case("squared", (_U, _V), {"squared": True, "reduction": "sum"}, smooth=True, condition=16.0),
    Case("orthonormal", (np.eye(4, 3), np.eye(3, 5)), wrt=(), compiled=True),
    Case("bad", (_BAD, np.eye(2, 3)), wrt=()),
    Case("no_adapter", (_U[:0], _V[:0])),
    Case("no_rank", (np.zeros((4, 0)), np.zeros((0, 5)))),
]


def ORACLE(u, v, *, squared=False, halve=False, reduction="mean"):
    total = 0
    for rows in (np.swapaxes(u, -1, -2), v):
        m = rows @ np.swapaxes(rows, -1, -2) - np.eye(rows.shape[-2])
        square = np.sum(m * m, axis=(-2, -1))
        total = total + (square if squared else np.sqrt(square))
    return reduced(total / 2 if halve else total, reduction)


def DRAW(rng):
    m, r, n = rng.integers(1, 6, size=3)
    return Case("drawn", (rng.normal(size=(m, r)), rng.normal(size=(r, n))), condition=1e3)


def _does_not_see_rotations(form, case):
    if case.name != "mean":
        return None
    q, _ = np.linalg.qr(np.arange(16.0).reshape(4, 4) % 5 + np.eye(4))
    u, v = case.args
    return form(q @ u, v), form(u, v)


IDENTITIES = (_does_not_see_rotations,)


def GOLDEN(load):
    """A has orthonormal rows there and B columns; the loss averages over both."""
    z = load("sorsa__orthonormal_regularizer")
    for n in range(2):
        case = Case(str(n), (z[f"in_B_{n}"], z[f"in_A_{n}"]), {"halve": True})
        grads = {0: z[f"out_grad_B_{n}"], 1: z[f"out_grad_A_{n}"]}
        yield Golden(case, z[f"out_loss_{n}"], np.ones(()), grads)
