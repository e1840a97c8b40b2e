"""`attention_margins`: by how much a chosen token's logit exceeds the others'."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(6)
_X, _Z, _W = (_RNG.normal(size=s) for s in ((5, 4, 3), (5, 3), (3, 3)))
_BEST = np.asarray([0, 3, 2, -1, 1])
_KEEP = np.ones((5, 4), bool)
_KEEP[1, 0] = _KEEP[4, 1] = False  # the last one is chosen
_KEEP[2] = False
_BAD, _BAD_Z = _X.copy(), _Z.copy()
_BAD[1, 0] = _BAD[2] = _BAD[4, 1] = _BAD_Z[2] = np.nan

CASES = [
    Case("masked", (_BAD, _BAD_Z, _W, _BEST), {"where": _KEEP}, compiled=True, condition=16.0),
    Case("smooth", (_X, _Z, _W, _BEST), smooth=True, condition=16.0),
    Case("one_example", (_X[0], _Z[0], _W, np.asarray(1)), condition=16.0),
    Case("one_token", (_X[:, :1], _Z, _W, np.zeros(5, int))),
]
INTEGERS = (0, 1, 2)


def ORACLE(x, z, w, index, *, where=None):
    keep = np.broadcast_to(True if where is None else where, x.shape[:-1])
    y = np.full(x.shape[:-1], np.inf, np.longdouble)
    for row in np.ndindex(y.shape[:-1]):
        best = index[row]
        for t in range(x.shape[-2]):
            if best >= 0 and t != best and keep[row][t]:
                known = keep[row][best]
                y[row][t] = (x[row][best] - x[row][t]) @ w @ z[row] if known else -np.inf
    return y


def linear_in_w(form, case):
    x, z, w, index = case.args
    y = form(x, z, w, index, **case.options)
    return form(x, z, 3.0 * w, index, **case.options), np.where(np.isinf(y), y, 3.0 * y)


def DRAW(rng):
    n, t, d = rng.integers(1, 5, size=3)
    args = tuple(rng.normal(size=s) for s in ((n, t, d), (n, d), (d, d)))
    return Case("random", (*args, rng.integers(-1, t, size=n)), condition=1e3)


def GOLDEN(load):
    """TF-as-SVM: the solutions by cvxpy, whose smallest margins are 1."""
    for n in (1, 2):
        z = load(f"att-svm__case{n}")
        for norm in ("fro", "nuc"):
            args = z["in_X"], z["in_Z"], z[f"out_W_{norm}"], z["in_ids"]
            logits = np.einsum("ntd,de,ne->nt", args[0], args[2], args[1])
            best = np.take_along_axis(logits, args[3][:, None], 1)
            hot = np.arange(logits.shape[1]) == args[3][:, None]
            expected = np.where(hot, np.inf, best - logits)
            assert abs(expected.min() - 1.0) < 2e-5
            yield Golden(Case(f"{norm}_{n}", args), expected)


IDENTITIES = (linear_in_w,)
