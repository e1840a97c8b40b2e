"""State of an unfinished softmax."""

from dataclasses import replace

import numpy as np

from anymax._conformance.oracles import axes, taking_part
from anymax.testing import Case, logits, row_cases

_RNG = np.random.default_rng(15)
_X, _V = logits(6, 5, seed=7).reshape(2, 3, 5), _RNG.normal(size=(2, 3, 5, 4))
_EDGES = row_cases()[1]
_BAD = np.where(np.arange(24).reshape(6, 4) == 9, np.nan, _RNG.normal(size=(6, 4)))

# wrt=(): the maximum is a constant by contract, see tests/test_softmaxes_online.py.
CASES = [
    *(replace(c, wrt=(), smooth=False) for c in row_cases()),
    Case("values", (_X,), {"axis": -1, "v": _V}, (), compiled=True, condition=4.0),
    Case("shared_values", (_X,), {"axis": -1, "v": _V[0, 0]}, (), condition=4.0),
    Case("edges_values", _EDGES.args, {**_EDGES.options, "axis": -1, "v": _BAD}, (), compiled=True,
         condition=4.0),
    Case("row_values", (_X[0, 0],), {"v": _V[0, 0]}, (), condition=4.0),
]  # fmt: skip


def ORACLE(x, *, v=None, axis=-1, where=None):
    keep, axis = taking_part(x, where), axes(x, axis)
    m = np.max(x, axis=axis, keepdims=True, where=keep, initial=-np.inf)
    base = np.where(m == -np.inf, 0, np.where(m == np.inf, np.nan, m))
    e = np.where(keep, np.exp(np.where(keep, x - base, 0)), 0)
    state = np.squeeze(m, axis=axis), np.sum(e, axis=axis)
    if v is None:
        return state
    v = np.broadcast_to(v, (*x.shape, v.shape[-1]))
    seen = np.where(np.isfinite(v), v, np.nan)
    return *state, np.sum(np.where(keep[..., None], e[..., None] * seen, 0), axis=-2)


def finalised_it_is_logsumexp(form, case):
    from anymax import finalize_softmax_state, logsumexp

    if "v" in case.options:
        return None
    return finalize_softmax_state(*form(*case.args, **case.options)), logsumexp(
        *case.args, **case.options
    )


IDENTITIES = (finalised_it_is_logsumexp,)
