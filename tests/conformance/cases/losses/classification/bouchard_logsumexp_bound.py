"""`bouchard_logsumexp_bound`: quadratic bound of the logsumexp."""

import numpy as np

import anymax as am
from anymax._conformance.oracles import axes, taking_part
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_KEEP = np.arange(30).reshape(2, 3, 5) % 4 != 3
_XI = np.asarray([[0.0, 0.5, -1.25], [2.0, 8.0, 0.015625]])
_ALPHA = np.asarray([[0.5], [-1.5]])
_GIVEN = {"xi": _XI, "alpha": _ALPHA}

CASES = [
    Case("edges", (_EDGES,), compiled=True, condition=16.0),
    Case("masked", (_EDGES,), {"where": _WHERE}, compiled=True, condition=16.0),
    Case("smooth", (_X,), {"where": _KEEP}, smooth=True, condition=64.0),
    Case("given", (_X,), _GIVEN, wrt=(0, "xi", "alpha"), smooth=True, condition=64.0),
    Case("given_xi", (_X,), {"xi": _XI}, wrt=(0, "xi"), condition=64.0),
    Case("given_alpha", (_X,), {"alpha": 0.75}, condition=64.0),
    Case("first_axis", (_X[0, :2],), {"axis": 0}, condition=64.0),
    Case("few", (logits(4, 1),), condition=4.0),
    Case("scalar", (np.asarray(0.75),)),
]


def _best(v, n):
    """The root of f(t) = t^2 - k^2 t^2 coth^2(t / 2) - v, which grows."""
    k = 1 - 2 / np.longdouble(n)
    low, high = np.longdouble(0), np.sqrt((v + 4 * k**2) / (1 - k**2))
    for _ in range(90):
        t = (low + high) / 2
        low, high = (t, high) if t**2 - (k * t / np.tanh(t / 2)) ** 2 < v else (low, t)
    return low


def _row(z, xi, alpha):
    n, mean = z.size, np.mean(z)
    if xi is None and alpha is None:
        if n == 1:
            return mean
        xi = _best(np.mean((z - mean) ** 2), n)
    if xi is None:
        xi = np.sqrt(np.mean((z - alpha) ** 2))
    near = abs(xi) < 1e-4
    curve = 0.125 - xi**2 / 96 if near else np.tanh(xi / 2) / (4 * xi)
    if alpha is None:
        alpha = mean + (n / 2 - 1) / (2 * curve * n)
    terms = (z - alpha - xi) / 2 + curve * ((z - alpha) ** 2 - xi**2) + np.logaddexp(0, xi)
    return alpha + np.sum(terms)


def ORACLE(x, *, xi=None, alpha=None, axis=-1, where=None):
    keep = taking_part(x, where)
    along = tuple(a % x.ndim for a in axes(x, axis))
    rest = [a for a in range(x.ndim) if a not in along]
    lead = tuple(x.shape[a] for a in rest)
    flat = x.transpose([*rest, *along]).reshape(*lead, -1)
    part = keep.transpose([*rest, *along]).reshape(*lead, -1)
    given = [None if p is None else np.broadcast_to(p, lead) for p in (xi, alpha)]
    out = np.zeros(lead, np.longdouble)
    for row in np.ndindex(lead):
        z = flat[row][part[row]]
        if not z.size:
            out[row] = -np.inf
        elif not np.isfinite(z).all():
            out[row] = np.nan if np.isnan(z).any() else np.inf
        else:
            out[row] = _row(z, *(None if p is None else p[row] for p in given))
    return out


def _bounds(form, case):
    x = case.args[0]
    options = {k: case.options[k] for k in ("axis", "where") if k in case.options}
    lse = am.logsumexp(x, **options)
    bound = form(x, **case.options)
    return np.where(bound < lse, bound, lse) + 0.0, lse + 0.0


def _least(form, case):
    """Nothing given is at most anything given."""
    if not set(case.options) & {"xi", "alpha"}:
        return None
    options = {k: case.options[k] for k in ("axis", "where") if k in case.options}
    best, given = form(case.args[0], **options), form(*case.args, **case.options)
    return np.minimum(best, given), best


IDENTITIES = (_bounds, _least)
