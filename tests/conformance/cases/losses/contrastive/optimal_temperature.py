"""`optimal_temperature`: a softmax at a given divergence from even weights."""

import numpy as np

from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_X = np.clip(logits(6, 5, seed=1), -8, 8).reshape(2, 3, 5)
_RHO = np.asarray([[0.25, 0.5, 1.0], [0.75, 1.5, 8.0]])

CASES = [
    Case("edges", (_EDGES[[0, 1, 3, 4, 5, 6, 7, 8]],),
         {"rho": 0.5, "where": _WHERE[[0, 1, 3, 4, 5, 6, 7, 8]]}, compiled=True, condition=8.0),
    Case("smooth", (_X,), {"rho": 0.5}, compiled=True, smooth=True,
         condition=8.0),
    Case("radii", (_X,), {"rho": _RHO}, (0, "rho"), condition=8.0),
    Case("limited", (_X,), {"rho": 0.25, "max_temperature": 1.0, "min_temperature": 0.5},
         condition=8.0),
    Case("none", (_X,), {"rho": 0.0}),
    Case("huge", (np.asarray([[10240.0, -10240.0, 10176.0, 0.0]]),), {"rho": 0.5}, condition=64.0),
    Case("one_row", (_X[0, 0],), {"rho": 0.5}, condition=8.0),
]  # fmt: skip


def ORACLE(logits, *, rho, min_temperature=0.01, max_temperature=None, axis=-1, where=None):
    x = np.moveaxis(logits, axis, -1)
    keep = np.moveaxis(np.broadcast_to(True if where is None else where, logits.shape), axis, -1)
    y = np.zeros(x.shape[:-1], np.longdouble)
    radii = np.broadcast_to(rho, y.shape)
    high = np.longdouble(np.inf if max_temperature is None else max_temperature)
    for row in np.ndindex(y.shape):
        z = x[row][keep[row] & (x[row] != -np.inf)]
        if not np.isfinite(z).all():
            y[row] = np.nan
        elif not z.size or _divergence(z, np.longdouble(min_temperature)) <= radii[row]:
            y[row] = min_temperature
        else:
            y[row] = min(high, _root(z, radii[row])) if radii[row] > 0 else high
    return y


def _divergence(z, t):
    u = (z - np.max(z)) / t
    e = np.exp(u)
    return np.sum(e * u) / np.sum(e) - np.log(np.mean(e))


def _root(z, rho):
    low, high = np.longdouble(-40.0), np.longdouble(40.0)
    for _ in range(90):
        middle = (low + high) / 2
        if _divergence(z, np.exp(middle)) >= rho:
            low = middle
        else:
            high = middle
    return np.exp(low)


def DRAW(rng):
    x = rng.normal(size=(rng.integers(1, 4), rng.integers(2, 6)))
    return Case("drawn", (x,), {"rho": 0.25}, condition=8.0)


def _scales_with_the_logits(form, case):
    if not np.isfinite(case.args[0]).all() or "max_temperature" in case.options:
        return None
    if np.ndim(case.options["rho"]):  # one of them is out of reach
        return None
    options = {**case.options, "min_temperature": 1e-6}
    return form(case.args[0] * 4, **options), 4 * form(case.args[0], **options)


def _label_does_not_matter(form, case):
    if not np.isfinite(case.args[0]).all():
        return None
    return form(case.args[0] + 2, **case.options), form(*case.args, **case.options)


IDENTITIES = (_scales_with_the_logits, _label_does_not_matter)
