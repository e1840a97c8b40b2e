"""`power_softmax`: power softmax: powers of non-negative numbers over their sum."""

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, selected_classes, sums_to_one
from anymax._conformance.weights import weights
from anymax.testing import Case, logits, row_cases


def _positive(_, x):
    """Magnitudes; the zeros, where the form has an edge, are a case of their own."""
    if x.dtype.kind != "f":
        return x
    return np.where(np.isinf(x), x, np.where(x == 0, 0.125, np.abs(x)))


_X = 0.25 + np.abs(logits(6, 4, seed=3).reshape(2, 3, 4))
_ZEROS = np.asarray([[0.0, 1.0, 3.0], [0.0, 0.0, 0.0], [2.0, -np.inf, 0.0], [np.nan, 0.0, 1.0]])
_COOL = np.asarray([[[0.5]], [[3.0]]])

CASES = [
    *(case.mapped(_positive) for case in row_cases()),
    Case("cool", (_X,), {"temperature": 0.25}, smooth=True),
    Case("warm", (_X,), {"temperature": 3.0}, smooth=True, compiled=True),
    Case("temperatures", (_X,), {"temperature": _COOL}, wrt=(0, "temperature"), smooth=True),
    Case("one_temperature", (_X,), {"temperature": np.asarray(0.5)}, wrt=(0, "temperature")),
    Case("zeros", (_ZEROS,), wrt=()),
    Case("zeros_cool", (_ZEROS,), {"temperature": 0.5}, wrt=()),
    Case("zeros_warm", (_ZEROS[:3],), {"temperature": np.asarray([[2.0]])}, wrt=()),
    Case("negative", (np.asarray([[1.0, -1.0, 2.0], [-3.0, -np.inf, -1.0]]),), wrt=()),
    Case("tiny", (np.asarray([[2.0**-12, 2.0**-14, 2.0**-13]]),), wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
    Case("all_axes", (_X,), {"axis": None}),
]


def ORACLE(x, *, axis=-1, where=None, temperature=1.0):
    def log_s(x):
        return np.log(x) / temperature

    return weights(log_s, x, axis, where)


def _softmax_of_logarithms(form, case):
    x = case.args[0]
    if (x[np.isfinite(x)] < 0).any() or not np.all((x < np.inf) | (x == np.inf)):
        return None
    keep = (x != -np.inf) & case.options.get("where", True)
    with np.errstate(all="ignore"):
        z = np.where(x == np.inf, np.inf, np.log(np.where(keep, x, 1.0)))
    options = {**case.options, "where": np.broadcast_to(keep, x.shape)}
    return form(x, **case.options), am.softmax(z, **options)


def _softmax_from_exponentials(form, case):
    """Choice between utilities exp(u) is the softmax of u."""
    x = case.args[0]
    if not np.isfinite(x).all() or np.abs(x).max(initial=0.0) > 300.0:
        return None
    return form(np.exp(x), **case.options), am.softmax(x, **case.options)


def _sums_to_one(form, case):
    if (case.args[0] <= 0).any():
        return None
    return sums_to_one(form, case)


IDENTITIES = (
    _sums_to_one,
    permutation_equivariant,
    selected_classes,
    _softmax_of_logarithms,
    _softmax_from_exponentials,
)
