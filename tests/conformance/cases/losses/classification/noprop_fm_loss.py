"""`noprop_fm_loss`: flow-matching NoProp."""

import numpy as np

from anymax._conformance.oracles import log_weights, taking_part
from anymax.testing import Case, logits

_RNG = np.random.default_rng(25)
_V, _U, _Z = (_RNG.normal(size=(4, 3)) for _ in range(3))
_X, _Y = logits(4, 5, seed=42), np.asarray([0, 4, 1, 2])
_KEEP = np.asarray([True, False, True, True])
_BAD, _EDGES = _V.copy(), _X.copy()
_BAD[1] = _BAD[2] = np.nan
_EDGES[2] = -np.inf
_EDGES[3, 2] = -np.inf  # its own class

CASES = [
    Case(
        "edges", (_BAD, _U, _Z),
        {"logits": _EDGES, "target": _Y, "where": _KEEP, "reduction": "none"},
        wrt=(0, 1, 2, "logits"), compiled=True,
    ),
    Case("velocity", (_V, _U, _Z), smooth=True),
    Case(
        "classified", (_V, _U, _Z),
        {"logits": _X, "target": np.full((4, 5), 0.25), "weight": np.asarray([1.0, 2.0, 0.0, 0.5])},
        wrt=(0, 1, 2, "logits", "weight"), smooth=True,
    ),
    Case("masked", (_BAD, _U, _Z), {"where": np.asarray([True, False, False, True])}),
    Case("nothing", (_BAD, _U, _Z), {"where": np.asarray([False])}),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(
    velocity, embedding, z0, *, logits=None, target=None, where=None, weight=None, reduction="mean"
):
    live = np.broadcast_to(True if where is None else where, velocity.shape[:-1])
    loss = np.sum((velocity - (embedding - z0)) ** 2, axis=-1)
    if logits is not None:
        keep = taking_part(logits)
        live = live & keep.any(-1)
        hot = np.arange(logits.shape[-1]) == target[..., None] if target.ndim == 1 else target
        log_p = log_weights(logits, keep)
        loss = loss + np.sum(np.where(hot == 0, 0 * np.where(keep, log_p, 0), hot * -log_p), -1)
    count = np.where(live, 1.0 if weight is None else weight, 0.0)
    loss = np.where(count != 0, loss * count, 0)
    if reduction == "mean":
        return np.sum(loss) / np.sum(count) if np.sum(count) else np.zeros(())
    return np.sum(loss) if reduction == "sum" else loss
