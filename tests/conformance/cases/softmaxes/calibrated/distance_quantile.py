"""Share of reference distances that are not below a distance."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(25)
_REFS = _RNG.uniform(size=7), _RNG.uniform(size=4), _RNG.uniform(size=5)
_EDGES = np.asarray([0.0, 0.5, np.nan, np.inf, 2.0, 1.0, -np.inf])
_TIES = np.asarray([0.5, 0.5, 1.0, 2.0]), np.asarray([1.0])

CASES = [
    Case("edges", (_EDGES, _TIES), wrt=(), compiled=True),
    Case("batch", (_RNG.uniform(size=(3, 4)), _REFS), wrt=()),
    Case("stacked", (_RNG.uniform(size=3), _RNG.uniform(size=(2, 5))), wrt=()),
    Case("empty_class", (_EDGES, (_TIES[0], np.zeros(0))), wrt=()),
    Case("scalar", (np.asarray(0.5), _REFS), wrt=()),
    Case("none", (np.zeros((0, 2)), _REFS), wrt=()),
]
INTEGERS = ()


def ORACLE(distance, references):
    shares = [
        1 - np.sum(r < distance[..., None], axis=-1) / np.longdouble(len(r))
        if len(r)
        else np.zeros(distance.shape)
        for r in references
    ]
    return np.where(np.isnan(distance), np.nan, np.min(shares, axis=0))


def GOLDEN(load):
    """The official quantiles, float32."""
    z = load("sdm__ecdf")
    refs = z["in_ref_class0"], z["in_ref_class1"]
    for name, given, key in (
        ("two", refs, "out_distance_quantile_two_classes"),
        ("empty", (*refs, np.zeros(0)), "out_distance_quantile_with_empty_class"),
    ):
        case = Case(name, (z["in_values"], given), wrt=())
        yield Golden(case, z[key].astype(np.float64), rtol=2e-7)
