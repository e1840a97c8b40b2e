"""`potential_resampling_weights`: softmax of potentials, NaN having weight 0."""

import numpy as np

from anymax._conformance.oracles import weights
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, Golden, logits

_EDGES, _WHERE = edge_logits()
_EDGES[5] = [0.5, np.nan, -1.0, -np.inf, 2.0, 0.0]  # one NaN and one -inf
_EDGES[7, 2] = np.nan
_EDGES[8] = np.nan  # nothing is known
_X = logits(6, 5, seed=45).reshape(2, 3, 5) / 8.0

CASES = [
    Case("edges", (_EDGES,), {"temperature": 1.0}, compiled=True, condition=16.0),
    Case("masked", (_EDGES,), {"where": _WHERE, "temperature": 1.0}, condition=16.0),
    Case("smooth", (_X,), smooth=True, condition=256.0),
    Case("temperatures", (_X,), {"temperature": np.asarray([[[0.5]], [[2.0]]])},
         wrt=(0, "temperature"), smooth=True, condition=64.0),
    Case("one", (_X[0, 0],), condition=256.0),
]  # fmt: skip


def ORACLE(potential, *, axis=-1, where=None, temperature=0.1):
    keep = ~np.isnan(potential) & (potential != -np.inf) & (True if where is None else where)
    z = np.where(keep, potential / temperature, -np.inf)
    return weights(z, keep, axis)


def DRAW(rng):
    return Case("random", (rng.normal(size=tuple(rng.integers(1, 6, size=2))),), condition=1e3)


def GOLDEN(load):
    """TTS-VAR, whose sampler normalises its weights; float32."""
    z = load("tts-var__potential")
    w = z["out_value_lam10.0_idx0"].astype(float)
    yield Golden(Case("value", (z["in_score"].astype(float),)), w / w.sum(), rtol=1e-5)
