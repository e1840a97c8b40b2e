"""`log_spherical_softmax`: logarithm of the spherical softmax."""

import numpy as np

import anymax as am
from anymax._conformance.identities import permutation_equivariant, selected_classes
from anymax._conformance.weights import log_weights
from anymax.testing import Case, logits, row_cases


def _apart(_, x):
    """Logits moved away from 0, near which the slope 2 / x is too steep for differences."""
    return x + np.copysign(0.5, x) if x.dtype.kind == "f" else x


_X = _apart(0, logits(6, 4, seed=3).reshape(2, 3, 4))
_ZEROS = np.asarray([[0.0, 0.0, 0.0], [0.0, -np.inf, 0.0], [0.0, 2.0, 1.0], [np.nan, 0.0, 1.0]])

CASES = [
    *(case.mapped(_apart) for case in row_cases()),
    Case("eps", (_X,), {"eps": 0.25}, smooth=True),
    Case("mostly_eps", (_X,), {"eps": 1e4}, smooth=True),
    Case("zeros", (_ZEROS,), wrt=()),
    Case("zeros_eps", (_ZEROS,), {"eps": 0.5}),
    Case("apart", (np.asarray([[2.0**15, 2.0**-14, 1.0]]),), wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
]


def ORACLE(x, *, eps=0.0, axis=-1, where=None):
    y = log_weights(lambda x: np.log(np.square(x) + eps), x, axis, where)
    if eps:
        return y
    keep = np.broadcast_to((x != -np.inf) & (True if where is None else where), x.shape)
    axes = tuple(range(x.ndim)) if axis is None or x.ndim == 0 else axis
    flat = keep & ~np.any(keep & (x != 0), axis=axes, keepdims=True)
    count = np.sum(flat, axis=axes, keepdims=True)
    return np.where(flat, -np.log(np.maximum(count, 1), dtype=x.dtype), y)


def _exponential_is_spherical_softmax(form, case):
    return np.exp(form(*case.args, **case.options)), am.spherical_softmax(
        *case.args, **case.options
    )


IDENTITIES = (permutation_equivariant, selected_classes, _exponential_is_spherical_softmax)
