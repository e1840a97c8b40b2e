"""`merge_softmax_states`: merging the states of parts."""

import numpy as np

from anymax.testing import Case

_INF, _NAN = np.inf, np.nan
_RNG = np.random.default_rng(16)
_M, _L = 4.0 * _RNG.normal(size=(3, 5)), 1.0 + _RNG.uniform(size=(3, 5))
_O = _RNG.normal(size=(3, 5, 2))
_EDGE_M = np.asarray(
    [
        [0.5, -_INF, -_INF, _NAN, _INF, 1e4, 2.0],
        [1.0, 2.0, -_INF, 1.0, 0.0, -1e4, -_INF],
        [-_INF, -_INF, -_INF, -_INF, 1.0, 9984.0, -_INF],
    ]
)
_EDGE_L = np.asarray(
    [
        [1.5, _NAN, 1.0, 1.0, 1.0, 2.0, 1.25],
        [2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0],
        [0.0, 1.0, 0.0, 7.0, 1.0, 1.5, _NAN],
    ]
)
_EDGE_O = np.where(np.isnan(_EDGE_L), _NAN, _EDGE_L)[..., None] * [1.0, -0.5]

# wrt=(): the maximum is a constant by contract, see tests/test_softmaxes_online.py.
CASES = [
    Case("edges", (_EDGE_M, _EDGE_L), {"axis": 0, "o": _EDGE_O}, (), compiled=True, condition=4.0),
    Case("sums", (_EDGE_M, _EDGE_L), {"axis": 0}, (), compiled=True),
    Case("batch", (_M, _L), {"axis": 0, "o": _O}, (), condition=4.0),
    Case("last_axis", (_M, _L), {"axis": -1, "o": _O}, (), condition=4.0),
    Case("vector", (_M[:, 0], _L[:, 0]), {"o": _O[:, 0]}, (), condition=4.0),
    Case("one_part", (_M[:1], _L[:1]), {"axis": 0}, ()),
    Case("no_part", (_M[:0], _L[:0]), {"axis": 0, "o": _O[:0]}, ()),
    Case("no_row", (np.zeros((2, 0)), np.zeros((2, 0))), {}, ()),
]
INTEGERS = (0, 1)


def ORACLE(m, l, *, o=None, axis=0):
    live = m != -np.inf
    top = np.max(m, axis=axis, keepdims=True, where=live, initial=-np.inf)
    base = np.where(top == -np.inf, 0, np.where(top == np.inf, np.nan, top))
    w = np.where(live, np.exp(np.where(live, m - base, 0)), 0)
    state = np.squeeze(top, axis=axis), np.sum(np.where(live, w * l, 0), axis=axis)
    if o is None:
        return state
    a = axis % m.ndim
    return *state, np.sum(np.where(live[..., None], w[..., None] * o, 0), axis=a)


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=2))
    return Case("drawn", (8 * rng.normal(size=shape), 1 + rng.uniform(size=shape)), condition=4.0)


def parts_have_no_order(form, case):
    axis = case.options.get("axis", 0)
    o = case.options.get("o")
    options = {**case.options, "axis": axis}
    if o is not None:
        options["o"] = np.flip(o, axis % case.args[0].ndim)
    return form(*(np.flip(x, axis) for x in case.args), **options)[1], form(
        *case.args, **case.options
    )[1]


IDENTITIES = (parts_have_no_order,)
