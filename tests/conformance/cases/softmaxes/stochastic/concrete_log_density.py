"""`concrete_log_density`: log density of the Concrete distribution, and of its logarithm."""

import numpy as np

from anymax._conformance.oracles import log_gamma, logsumexp, taking_part
from anymax.testing import Case, logits

_RNG = np.random.default_rng(8)
_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_Y = _RNG.dirichlet(np.ones(4), size=(2, 3)) + 0.01
_EDGES = np.asarray(
    [
        [0.5, -1.0, 2.0, 0.0],
        [0.5, -np.inf, 2.0, 0.0],
        [-np.inf] * 4,
        [np.nan, 1.0, -np.inf, 0.0],
        [1.0, np.inf, 0.0, -np.inf],
        [300.0, -300.0, 0.0, 1.0],
    ]
)
_POINTS = np.asarray([[0.25, 0.25, 0.25, 0.25], [0.5, np.nan, 0.25, 0.25], [np.nan, 0, -1, 0.5]])
_POINTS = np.concatenate([_POINTS, [[0.5, 0.25, 0, 0.25]] * 2, [[0.125, 0.125, 0.25, 0.5]]])

CASES = [
    Case("edges", (_POINTS, _EDGES), {"axis": -1}, compiled=True, condition=8.0),
    Case("zero", (np.asarray([[0.0, 0.5, 0.5]]), np.zeros((1, 3)))),
    Case("smooth", (_Y, _X), smooth=True, condition=64.0),
    Case("cool", (_Y, _X), {"temperature": 0.25}, smooth=True, condition=64.0),
    Case(
        "temperatures", (_Y, _X), {"temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, 1, "temperature"), smooth=True, condition=64.0,
    ),
    Case("logarithms", (-np.abs(_X), _X), {"log_input": True}, smooth=True, condition=64.0),
    Case("log_edges", (np.log(np.abs(_POINTS) + 0.01), _EDGES), {"log_input": True},
         compiled=True, condition=8.0),
    Case("row", (_Y[0, 0], _X[0, 0]), {"temperature": 2.0}, condition=8.0),
    Case("one_class", (np.ones((3, 1)), logits(3, 1))),
    Case("no_class", (np.zeros((3, 0)), np.zeros((3, 0)))),
    Case("no_row", (np.zeros((0, 4)), np.zeros((0, 4)))),
]  # fmt: skip
INTEGERS = ()


def ORACLE(y, logits, *, axis=-1, temperature=1.0, log_input=False):
    keep = taking_part(logits)
    t = np.broadcast_to(np.asarray(temperature, dtype=np.longdouble), logits.shape)
    bad = keep & (logits == np.inf)
    log_y = np.where(keep, y, 0) if log_input else np.log(np.where(keep, y, 1))
    bad = bad | (keep & np.isinf(log_y))
    log_y = np.where(bad, np.nan, log_y)
    u = np.where(keep, np.where(keep, logits, 0) - t * log_y, -np.inf)
    n = np.sum(keep, axis=axis)
    total = np.sum(np.where(keep, np.where(keep, u, 0) - (0 if log_input else log_y), 0), axis=axis)
    t = np.max(t, axis=axis, initial=1e-9) if t.size else np.ones(n.shape)
    density = (
        log_gamma(n)
        + (n - 1) * np.log(t)
        + total
        - n * np.where(n == 0, 0, logsumexp(u, keep, axis))
    )
    return np.where(n == 0, -np.inf, density)


def DRAW(rng):
    n, c = rng.integers(1, 5, size=2)
    y = rng.dirichlet(np.ones(c), size=n) + 0.05
    return Case("drawn", (y, np.rint(rng.normal(size=(n, c)) * 4) + 0.25), condition=64.0)


def density_of_the_logarithm(form, case):
    """The densities differ by the Jacobian of the logarithm."""
    y, x = case.args
    if case.options.get("log_input") or not (np.isfinite(x).all() and (y > 0).all()):
        return None
    shift = np.sum(np.log(y), axis=case.options.get("axis", -1))
    return form(np.log(y), x, **case.options, log_input=True), form(y, x, **case.options) + shift


IDENTITIES = (density_of_the_logarithm,)
