"""`lid_mle`: intrinsic dimension from distances to neighbours."""

import numpy as np

from anymax.testing import Case, Golden, logits


def _near(x):
    """Positive distances, none close to another."""
    return np.exp(np.sign(x) * np.minimum(np.abs(x), 2) + np.arange(x.shape[-1]) / 4)


_R = _near(logits(8, 5, seed=1))
_R[1, 2], _R[2], _R[3, 1] = 0.0, 0.75, np.nan
_R[4, 3], _R[5], _R[6, 1:] = np.nan, np.nan, 0.0  # for the mask to hide
_KEEP = np.ones((8, 5), bool)
_KEEP[4, 3], _KEEP[5], _KEEP[6, 1:] = False, False, False

CASES = [
    Case("edges", (_R,), {"where": _KEEP}, compiled=True),
    Case("smooth", (_near(logits(6, 5, seed=2)).reshape(2, 3, 5),), compiled=True, smooth=True),
    Case("less_one", (_R,), {"where": _KEEP, "estimator": "levina_bickel"}),
    Case("less_two", (_R,), {"where": _KEEP, "estimator": "levina_bickel_unbiased"}),
    Case("first_axis", (_near(logits(4, 3, seed=3)),), {"axis": 0}),
    Case("one", (np.asarray([0.5]),), {}),
]


def ORACLE(distance, *, axis=-1, estimator="amsaleg", where=None):
    r = np.moveaxis(distance, axis, -1)
    keep = np.moveaxis(np.broadcast_to(True if where is None else where, distance.shape), axis, -1)
    less = {"amsaleg": 0, "levina_bickel": 1, "levina_bickel_unbiased": 2}[estimator]
    y = np.zeros(r.shape[:-1], np.longdouble)
    for row in np.ndindex(y.shape):
        near = r[row][keep[row]]
        if not near.size or np.any(near == 0):
            continue
        total = np.sum(np.log(np.max(near) / near))
        y[row] = np.inf if total == 0 else (near.size - less) / total
    return y


def DRAW(rng):
    return Case("drawn", (np.exp(rng.normal(size=(rng.integers(1, 4), rng.integers(1, 6)))),))


def _scale_does_not_matter(form, case):
    return form(case.args[0] * 4, **case.options), form(*case.args, **case.options)


IDENTITIES = (_scale_does_not_matter,)


def GOLDEN(load):
    for i in (1, 2):
        z = load(f"hnsw__lid_mle_case{i}")
        case = Case(str(i), (z["in_knn_distances"],), {"estimator": "levina_bickel"}, wrt=())
        yield Golden(case, z["out_lid"], rtol=1e-12)
