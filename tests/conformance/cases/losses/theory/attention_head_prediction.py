"""`attention_head_prediction`: a linear head on what one query attends to."""

import numpy as np

from anymax._conformance.oracles import weights
from anymax.testing import Case, Golden

_RNG = np.random.default_rng(3)
_X, _Z, _W, _V = (_RNG.normal(size=s) for s in ((5, 4, 3), (5, 3), (3, 3), (3,)))
_KEEP = np.asarray(
    [[True] * 4, [True, False, True, True], [False] * 4, [True, True, False, True], [True] * 4]
)
_BAD = _X.copy()
_BAD[1, 1] = np.nan
_BAD[3, 2] = np.inf
_BAD[2] = np.nan
_BAD_Z = _Z.copy()
_BAD_Z[2] = np.inf

CASES = [
    Case("masked", (_BAD, _BAD_Z, _W, _V), {"where": _KEEP}, compiled=True, condition=16.0),
    Case("smooth", (_X, _Z, _W, _V), smooth=True, compiled=True, condition=16.0),
    Case("one_token", (_X[:, :1], _Z, _W, _V), condition=16.0),
    Case("large", (_X, 1024.0 * _Z, _W, _V), wrt=(3,), condition=16.0),
    Case("one_example", (_X[0], _Z[0], _W, _V), condition=16.0),
    Case("no_token", (_X[:, :0], _Z, _W, _V)),
]
INTEGERS = (0, 1, 2, 3)


def ORACLE(x, z, w, v, *, where=None):
    keep = np.broadcast_to(True if where is None else where, x.shape[:-1])
    x = np.where(keep[..., None], x, 0)
    h = np.einsum("...td,de,...e->...t", x, w, np.where(keep.any(-1)[..., None], z, 0))
    return np.sum(np.where(keep, weights(h, keep) * (x @ v), 0), axis=-1)


def shift_of_the_tokens_along_w_z(form, case):
    """What adds one number to all logits of an example moves the prediction by the head alone."""
    x, z, w, v = case.args
    if "where" in case.options or not x.shape[-2]:
        return None
    step = np.ones(x.shape[-1])
    return form(x + step, z, w, v), form(x, z, w, v) + step @ v


def DRAW(rng):
    n, t, d = rng.integers(1, 5, size=3)
    shapes = ((n, t, d), (n, d), (d, d), (d,))
    return Case("random", tuple(rng.normal(size=s) for s in shapes), condition=1e3)


def GOLDEN(load):
    """TF-as-SVM: cross attention, and self-attention from the last token."""
    for n in (1, 2):
        z = load(f"att-svm__case{n}")
        x, w, v = z["in_X"], z["in_W"], z["in_v"]
        for name, query in (("cross", z["in_Z"]), ("self", x[:, -1])):
            case = Case(f"{name}_{n}", (x, query, w, v))
            yield Golden(case, z[f"out_pred_{name}"][:, 0])


IDENTITIES = (shift_of_the_tokens_along_w_z,)
