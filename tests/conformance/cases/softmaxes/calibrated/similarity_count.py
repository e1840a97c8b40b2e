"""`similarity_count`: length of the leading run of agreeing neighbours."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(24)
_MATCH = _RNG.uniform(size=(4, 3, 6)) < 0.7
_EDGES = np.asarray(
    [[True] * 5, [False] * 5, [True, False, True, True, True], [False, True] * 2 + [True]]
)

CASES = [
    Case("edges", (_EDGES,), compiled=True),
    Case("batch", (_MATCH,)),
    Case("first_axis", (_MATCH,), {"axis": 0}),
    Case("row", (_EDGES[0],)),
    Case("none", (np.zeros((3, 0), bool),)),
    Case("no_row", (np.zeros((0, 3), bool),)),
]
INTEGERS = ()


def ORACLE(match, *, axis=-1):
    return np.sum(np.cumprod(match.astype(int), axis=axis), axis=axis)


def DRAW(rng):
    return Case("drawn", (rng.uniform(size=tuple(rng.integers(1, 6, size=2))) < 0.7,))


def GOLDEN(load):
    """The official counts: right in training, and the class predicted now."""
    z = load("sdm__similarity_q")
    near = z["in_neighbor_idx"]
    predicted = np.argmax(z["in_logits"], axis=-1)[:, None]
    right = z["in_train_labels"][near] == z["in_train_pred"][near]
    match = right & (z["in_train_pred"][near] == predicted)
    yield Golden(Case("neighbours", (match,)), z["out_q"].astype(int))
