"""`soft_tree_leaf_probs`: leaf probabilities of a soft tree."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(33)
_Z = _RNG.normal(size=(2, 3, 7))
_INF, _NAN = np.inf, np.nan
_EDGE = np.asarray(
    [
        [0.0] * 7,
        [50.0, -50.0, 50.0, -50.0, 0.5, 50.0, 1.0],
        [_INF] * 7,
        [-_INF, _NAN, 0.5, _NAN, _NAN, 1.0, -1.0],  # below a turn that is never taken
        [0.5, 1.0, _NAN, 0.0, 0.25, 0.0, 0.0],
        [1.0, _INF, -_INF, 0.5, _NAN, _NAN, -0.5],
    ]
)
_U = np.asarray([[0.5, 0.25, 1.5], [-0.5, 0.75, 0.125], [1.0, 0.0, 0.5]])

CASES = [
    Case("smooth", (_Z,), smooth=True),
    Case("edges", (_EDGE,), compiled=True, condition=2.0),
    Case("log", (_Z,), {"log": True}, smooth=True),
    Case("log_edges", (_EDGE,), {"log": True}, compiled=True),
    Case("clamped", (_U,), {"activation": "smootherstep"}, compiled=True),
    Case("clamped_log", (_U,), {"activation": "smootherstep", "log": True}),
    Case("one_node", (_Z[..., :1],), smooth=True),
    Case("no_node", (_Z[..., :0],)),
    Case("one_row", (_Z[0, 0],)),
    Case("no_row", (_Z[:0],)),
    Case("deep", (_RNG.normal(size=(3, 1023)),), large=True),
]


def _sigmoid(z):
    return np.where(z >= 0, 1 / (1 + np.exp(-z)), np.exp(z) / (1 + np.exp(z)))


def _step(z):
    u = np.clip(z, 0, 1)
    return u**3 * (10 + u * (6 * u - 15))


def ORACLE(z, *, activation="sigmoid", log=False):
    """Leaf by leaf, walking down from the root."""
    height = (z.shape[-1] + 1).bit_length() - 1
    out = np.zeros((*z.shape[:-1], 2**height), z.dtype)
    for row in np.ndindex(z.shape[:-1]):
        for leaf in range(2**height):
            p, node = z.dtype.type(1), 1
            for depth in reversed(range(height)):
                right = (leaf >> depth) & 1
                value = z[(*row, node - 1)]
                if activation == "sigmoid":
                    turn = _sigmoid(-value if right else value)
                else:
                    turn = _step(1 - value if right else value)
                p = p * turn if p != 0 else p
                node = 2 * node + right
            out[(*row, leaf)] = p
    return np.where(out == 0, -np.inf, np.log(np.where(out == 0, 1, out))) if log else out


def DRAW(rng):
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    nodes = 2 ** int(rng.integers(0, 5)) - 1
    return Case("drawn", (2.0 * rng.normal(size=(*batch, nodes)),), {"log": bool(rng.integers(2))})


def _sums_to_one(form, case):
    z, log = case.args[0], case.options.get("log", False)
    p = form(z, **case.options)
    if np.isnan(p).any():
        return None
    return np.sum(np.exp(p) if log else p, axis=-1), np.ones(z.shape[:-1])


def _is_a_hierarchical_softmax(form, case):
    """The full binary tree of a hierarchical softmax whose code 0 is left."""
    z = case.args[0]
    if case.options or z.ndim != 3 or not z.shape[-1]:
        return None
    nodes = z.shape[-1]
    height = (nodes + 1).bit_length() - 1
    leaf = np.arange(nodes + 1)[:, None]
    codes = (leaf >> np.arange(height)[::-1]) & 1
    points = np.zeros((nodes + 1, height), int)
    for i in range(1, height):
        points[:, i] = 2 * points[:, i - 1] + 1 + codes[:, i - 1]
    tree = codes, points, np.full(nodes + 1, height)
    p = [np.exp(am.hierarchical_log_softmax(r, np.eye(nodes), tree)) for r in z.reshape(-1, nodes)]
    return form(z), np.reshape(p, (*z.shape[:-1], nodes + 1))


IDENTITIES = (_sums_to_one, _is_a_hierarchical_softmax)
