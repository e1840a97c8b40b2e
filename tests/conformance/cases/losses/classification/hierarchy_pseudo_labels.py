"""`hierarchy_pseudo_labels`: labels on all levels from one."""

import numpy as np

from anymax.testing import Case, logits

_SIZES = (2, 4, 6)
_X = tuple(logits(8, c, seed=20 + c) for c in _SIZES)
_PARENT = (np.asarray([-1, -1]), np.asarray([0, 1, 1, 0]), np.asarray([0, 1, 1, 2, 2, 0]))
_LEVEL = np.asarray([0, 2, 1, 1, 2, 0, 1, 0])
_Y = np.asarray([1, 5, 2, 3, -100, 0, 0, 1])
_EDGES = tuple(x.copy() for x in _X)
_EDGES[1][0, 1], _EDGES[1][5, [0, 3]], _EDGES[2][2, 3] = -np.inf, -np.inf, np.nan
_EDGES[2][6] = 0.5

CASES = [
    Case("edges", (_EDGES, _PARENT, _LEVEL, _Y), wrt=(), compiled=True),
    Case("threshold", (_EDGES, _PARENT, _LEVEL, _Y), {"threshold": 0.625}, wrt=(), compiled=True),
    Case("one_level", (_X[:1], _PARENT[:1], 0 * _LEVEL, _Y % 2), wrt=()),
]
INTEGERS = ()


def _guess(x, children, threshold):
    children = [c for c in children if x[c] != -np.inf]
    if not children:
        return -100
    z = x[children]
    best = int(np.argmax(np.where(np.isnan(z), np.inf, z)))
    p = np.exp(z - np.max(z))
    good = threshold is None or p[best] / np.sum(p) >= threshold
    return children[best] if good else -100


def ORACLE(logits, parent, level, target, *, threshold=None):
    out = np.full((len(target), len(logits)), -100)
    for i, (h, y) in enumerate(zip(level, target)):
        out[i, h] = y
        for up in range(h, 0, -1):
            out[i, up - 1] = -100 if out[i, up] == -100 else parent[up][out[i, up]]
        for down in range(h + 1, len(logits)):
            children = np.flatnonzero(parent[down] == out[i, down - 1])
            out[i, down] = _guess(logits[down][i], children, threshold)
    return out


def DRAW(rng):
    n, *sizes = (int(c) for c in rng.integers(1, 5, size=rng.integers(2, 5)))
    x = tuple(rng.normal(size=(n, c)) for c in sizes)
    above = [1, *sizes[:-1]]
    parent = tuple(rng.integers(0, a, size=c) for a, c in zip(above, sizes))
    level = rng.integers(0, len(sizes), size=n)
    target = np.asarray([rng.integers(0, sizes[h]) for h in level])
    return Case("drawn", (x, parent, level, target), wrt=())


def _parents_of_labels_are_labels(form, case):
    y, parent = form(*case.args, **case.options), case.args[1]
    if len(parent) < 2:
        return None
    below, above = y[:, 1:], y[:, :-1]
    known = np.maximum(below, 0).T
    up = np.stack([parent[h + 1][c] for h, c in enumerate(known)], axis=-1)
    return np.where(below == -100, above, up), above


IDENTITIES = (_parents_of_labels_are_labels,)
