"""Oracles and cases of losses between two distributions given by logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anymax._conformance.examples import reduced
from anymax._conformance.oracles import log_weights
from anymax._conformance.rows import edge_logits, logits
from anymax.testing import Case

Cost = Callable[[np.ndarray, np.ndarray], np.ndarray]


def by_pairs(
    cost: Cost,
    a: np.ndarray,
    b: np.ndarray,
    *,
    axis: int = -1,
    where: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
    temperature: Any = 1.0,
    squared: bool = False,
) -> np.ndarray:
    """A loss from ``cost(log p, log q)`` of rows (n, C), -inf for what takes no part."""
    a, b = np.broadcast_arrays(a, b)
    keep = np.broadcast_to(True if where is None else where, a.shape)
    a, b, keep = (np.moveaxis(x, axis, -1) for x in (a, b, keep))
    t = np.broadcast_to(temperature, a.shape[:-1])
    sides = []
    for x in (a, b):
        part = keep & (x != -np.inf)
        bad = np.any(part & ~np.isfinite(x), axis=-1, keepdims=True)
        x = np.where(part & ~bad, x, -np.inf) / t[..., None]
        y = log_weights(x, part & ~bad)
        sides.append(np.where(part & bad, np.nan, y))
    live = np.any(sides[0] != -np.inf, axis=-1) & np.any(sides[1] != -np.inf, axis=-1)
    loss = cost(*sides) * (t * t if squared else 1.0)
    return reduced(loss, reduction, live=live, weight=weight)


def kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || q) of log-probabilities: 0 log 0 is 0."""
    change = np.where((p == -np.inf) | (q == -np.inf), 0, p - q)
    terms = np.where(p == -np.inf, 0, np.exp(p) * change)
    lost = (p != -np.inf) & (q == -np.inf)
    return np.sum(terms, axis=-1) + np.where(lost.any(axis=-1), np.inf, 0)


def mixed(p: np.ndarray, q: np.ndarray, share: float) -> np.ndarray:
    """Logarithm of share * p + (1 - share) * q."""
    wide = np.longdouble(share)
    return np.logaddexp(p + np.log(wide), q + np.log1p(-wide))


_EDGES, _WHERE = edge_logits()
_OTHER = np.roll(logits(9, 6, seed=4), 1, axis=0)
_OTHER[3, [0, 1]] = -np.inf  # lost on both sides, and on either
_OTHER[4, 0] = -np.inf
_X, _Y = logits(6, 5, seed=1).reshape(2, 3, 5), logits(6, 5, seed=7).reshape(2, 3, 5) / 4.0
_KEEP = np.arange(30).reshape(2, 3, 5) % 4 != 3
_WEIGHT = np.asarray([[1.0, 0.5, 2.0], [0.25, 0.0, 1.5]])
_WARM = np.asarray([[1.0, 2.0, 0.5], [4.0, 1.0, 2.0]])


def pair_cases(*, tempered: bool = True, smooth: bool = True) -> list[Case]:
    """The cases that every loss of two arrays of logits has to survive."""
    smooth_: dict[str, Any] = {"smooth": smooth} if smooth else {"wrt": ()}
    any_: dict[str, Any] = {} if smooth else {"wrt": ()}
    own = {"temperature": _WARM} if tempered else {}
    by = {"wrt": (0, 1, *own)} if smooth else {"wrt": ()}
    return [
        Case("edges", (_EDGES, _OTHER), {"reduction": "none"}, compiled=True, condition=64.0,
             **any_),
        Case("masked", (_OTHER, _EDGES), {"where": _WHERE, "reduction": "none"}, compiled=True,
             condition=64.0, **any_),
        Case("batch", (_X, _Y), own, condition=8.0, **{**smooth_, **by}),
        Case("weighted", (_X, _Y), {"where": _KEEP, "weight": _WEIGHT}, condition=8.0, **smooth_),
        Case("one_row", (_X, _Y[0, 0]), {"reduction": "sum", "axis": -1}, condition=8.0, **any_),
        Case("nothing", (_X[0], _Y[0]), {"where": np.zeros((3, 1), bool)}, **any_),
    ]  # fmt: skip


def drawn_pair(rng: np.random.Generator) -> Case:
    """A random pair of logits, some of them masked in both."""
    shape = (*rng.integers(1, 4, size=rng.integers(0, 3)), rng.integers(1, 6))
    where = rng.uniform(size=shape) < 0.8
    args = tuple(rng.normal(size=shape) * rng.choice([1.0, 10.0]) for _ in range(2))
    return Case("drawn", args, {"where": where}, condition=16.0)
