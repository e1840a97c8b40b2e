"""`soft_tree_predict`: prediction of a soft tree."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(34)


def _case(name, *, batch=(3,), features=4, height=2, classes=3, scale=1.0, **rest):
    nodes = 2**height - 1
    args = (
        _RNG.normal(size=(*batch, features)),
        _RNG.normal(size=(features, nodes)),
        _RNG.normal(size=(nodes,)),
        scale * _RNG.normal(size=(nodes + 1, classes)),
    )
    options = {"kind": rest.pop("kind")} if "kind" in rest else {}
    return Case(name, args, options, **rest)


def _edges():
    case = _case("edges", batch=(4,), compiled=True, condition=4.0)
    x, _, _, theta = case.args
    x[1, 2], x[2] = np.nan, 0.0
    theta[0, 1] = theta[3, :2] = -np.inf
    return case


CASES = [
    _case("smooth", smooth=True, compiled=True, condition=4.0),
    _edges(),
    _case("log", kind="log", smooth=True, condition=4.0),
    _case("large_masses", kind="log", scale=2.0, condition=8.0),
    _case("one_example", batch=(), smooth=True, condition=4.0),
    _case("batches", batch=(2, 2), height=1, condition=4.0),
    _case("no_node", height=0),
    _case("one_class", classes=1, condition=4.0),
    _case("no_example", batch=(0,)),
]


def ORACLE(x, w, b, theta, *, kind="probs"):
    z = np.sum(x[..., None] * w, axis=-2) + b
    height = theta.shape[0].bit_length() - 1
    p = np.ones((*z.shape[:-1], theta.shape[0]), z.dtype)
    for leaf in range(theta.shape[0]):
        node = 1
        for depth in reversed(range(height)):
            right = (leaf >> depth) & 1
            p[..., leaf] /= 1 + np.exp(z[..., node - 1] * (1 if right else -1))
            node = 2 * node + right
    e = np.exp(theta) if kind == "log" else np.exp(theta - np.max(theta, axis=-1, keepdims=True))
    leaves = e if kind == "log" else e / np.sum(e, axis=-1, keepdims=True)
    return np.sum(p[..., None] * leaves, axis=-2)


def DRAW(rng):
    nodes, features = 2 ** int(rng.integers(0, 4)) - 1, int(rng.integers(1, 5))
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    shapes = ((*batch, features), (features, nodes), (nodes,), (nodes + 1, rng.integers(1, 5)))
    return Case("drawn", tuple(rng.normal(size=s) for s in shapes), condition=8.0)


def _sums_to_one(form, case):
    y = form(*case.args, **case.options)
    if case.options or np.isnan(y).any():
        return None
    return np.sum(y, axis=-1), np.ones(y.shape[:-1])


def _leaves_then_classes(form, case):
    x, w, b, theta = case.args
    if case.options or np.isnan(x).any():
        return None
    return form(*case.args), am.soft_tree_leaf_probs(x @ w + b) @ am.softmax(theta)


INTEGERS = (0, 1, 2, 3)
IDENTITIES = (_sums_to_one, _leaves_then_classes)
