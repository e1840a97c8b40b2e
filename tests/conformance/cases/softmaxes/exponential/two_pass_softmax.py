"""`two_pass_softmax`: softmax summed as mantissas and powers of two."""

import numpy as np

from anymax._conformance.identities import permutation_equivariant, shift_invariant, sums_to_one
from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)

CASES = [
    *row_cases(),
    Case("cool", (_X,), {"temperature": 0.5}, smooth=True),
    Case(
        "temperatures", (_X,), {"temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, "temperature"), smooth=True,
    ),
]  # fmt: skip


def ORACLE(x, *, axis=-1, where=None, temperature=1.0):
    return weights(x / temperature, taking_part(x, where), axis)


IDENTITIES = (sums_to_one, shift_invariant, permutation_equivariant)


def GOLDEN(load):
    """XNNPACK's AVX2 kernels, float32, results below 2^-126 flushed to 0."""
    for name in ("hi1e4", "normal", "ties", "uniform1e3"):
        z = load(f"two-pass-softmax__softmax_{name}")
        case = Case(name, (z["in_x"].astype(np.float64),))
        yield Golden(case, z["out_softmax"].astype(np.float64), rtol=2e-6)
