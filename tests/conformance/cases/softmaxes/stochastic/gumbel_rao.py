"""Rao-Blackwellised straight-through Gumbel-softmax: the value is one-hot."""

import numpy as np

from anymax._conformance.oracles import taking_part
from anymax.testing import Case, Golden, logits

_RNG = np.random.default_rng(6)
_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_INDEX = np.asarray([[0, 3, 1], [2, 2, 0]])
_E = _RNG.exponential(size=(3, 2, 3, 4))
_EDGES = np.asarray([[0.5, -np.inf, 2.0, 1.0], [np.nan, 1.0, -np.inf, 0.0], [400.0, -400.0, 0, 1]])
_FEW = np.asarray([[0.0, 1.0, 0.5, 2.0]] * 3)[None]

# wrt=(): differences of a one-hot value are 0; the golden arrays have its gradient.
CASES = [
    Case("batch", (_X, _INDEX, _E), {"axis": -1}, (), compiled=True),
    Case("cool", (_X, _INDEX, _E), {"axis": -1, "temperature": 0.5}, ()),
    Case(
        "temperatures", (_X, _INDEX, _E),
        {"axis": -1, "temperature": np.asarray([[[0.5]], [[3.0]]])}, (),
    ),
    Case("edges", (_EDGES, np.asarray([2, 1, 0]), _FEW), {"axis": -1}, ()),
    Case("masked_draw", (_EDGES[:1], np.asarray([1]), _FEW[:, :1]), {"axis": -1}, ()),
    Case("first_axis", (_X[0].T.copy(), _INDEX[0], _E[:, 0].swapaxes(1, 2)), {"axis": 0}, ()),
    Case("row", (_X[0, 0], np.asarray(3), _E[:, 0, 0]), {}, ()),
    Case("no_draw", (_X[0], _INDEX[0], np.zeros((0, 3, 4))), {"axis": -1}, ()),
    Case("no_row", (np.zeros((0, 4)), np.zeros(0, int), np.zeros((2, 0, 4))), {"axis": -1}, ()),
]  # fmt: skip
INTEGERS = (0, 2)


def ORACLE(logits, index, exponential, *, axis=-1, temperature=1.0):
    keep = taking_part(logits)
    hot = np.moveaxis(index[..., None] == np.arange(logits.shape[axis]), -1, axis)
    bad = np.any(keep & ~np.isfinite(logits), axis=axis, keepdims=True)
    return np.where(keep & bad, np.nan, (keep & hot).astype(np.longdouble))


def DRAW(rng):
    n, c = rng.integers(1, 5, size=2)
    x = np.where(rng.uniform(size=(n, c)) < 0.2, -np.inf, 20 * rng.normal(size=(n, c)))
    return Case("drawn", (x, rng.integers(0, c, size=n), rng.exponential(size=(2, n, c))))


def GOLDEN(load):
    """Flexora's code; gradients of the logits."""
    for name in ("gumbel_rao_0", "gumbel_rao_2"):
        z = load(f"flexora__{name}")
        args = z["in_logits"], z["in_index"], z["in_exponential"]
        case = Case(name, args, {"temperature": float(z["in_temperature"])}, wrt=(0,))
        yield Golden(case, z["out_sample"], z["in_dy"], {0: z["out_dlogits"]}, rtol=1e-11)
