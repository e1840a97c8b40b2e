"""Arrays and oracles that the cases of the ranking losses share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anymax._conformance.examples import reduced
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits


def list_cases(wrt: tuple = (0,)) -> list[Case]:
    """What every loss on lists has to survive; scores without ties where derivatives are taken."""
    x, where = edge_logits()
    x[1] = [1.0, 0.5, 1.25, 0.25, -1.0, 2.125]
    x[2] = [12.0, -40.0, 9.0, 0.0, 10.5, -5.0]
    x[7, 3], x[8, 1] = 2.25, 1.0
    r = (np.arange(54) * 7 % 5).reshape(9, 6).astype(float)
    r[0] = 0.0
    r[7, 1] = r[8, 3] = np.nan
    where[7, 1] = False
    s, t = logits(4, 5, seed=3).reshape(2, 2, 5) / 4.0, (np.arange(20) * 3 % 4).reshape(2, 2, 5)
    keep = np.arange(20).reshape(2, 2, 5) % 5 != 2
    keep[1, 1] = False
    w = np.asarray([[1.0], [0.5]])
    none = {"reduction": "none"}
    return [
        Case("edges", (x, r), none, wrt=wrt),
        Case("masked", (x, r), {"where": where, **none}, wrt=wrt, compiled=True),
        Case("mean", (s, t.astype(float)), {"where": keep}, wrt=wrt, smooth=True),
        Case("weighted", (s, t), {"weight": w, "where": keep}, wrt=(0,), compiled=True),
        Case("ties", (np.asarray([1.0, 1.0, 0.5]), np.asarray([0, 2, 2])), wrt=()),
        Case("first_axis", (np.moveaxis(s, -1, 0), np.moveaxis(t, -1, 0)), {"axis": 0}, wrt=()),
        Case("one_item", (np.asarray([[0.5]]), np.asarray([[2]])), wrt=()),
        Case("no_list", (np.zeros((0, 4)), np.zeros((0, 4))), wrt=()),
    ]


def drawn_list(rng: np.random.Generator) -> Case:
    """A random call."""
    shape = tuple(rng.integers(1, 6, size=rng.integers(1, 4)))
    return Case("drawn", (rng.normal(size=shape), rng.integers(0, 4, size=shape)))


def by_lists(
    cost: Callable[..., Any],
    scores: np.ndarray,
    relevance: np.ndarray,
    *,
    axis: int = -1,
    where: np.ndarray | None = None,
) -> tuple[list[np.ndarray], np.ndarray]:
    """The results of ``cost(s, r)`` of the items that take part, NaN for bad lists; and which live.

    Results are arrays (...), one for each that `cost` gives; lists without items give 0.
    """
    s, r = np.moveaxis(scores, axis, -1), np.moveaxis(relevance, axis, -1).astype(np.longdouble)
    allowed = np.broadcast_to(True if where is None else where, scores.shape)
    allowed = np.moveaxis(allowed, axis, -1)
    lead = s.shape[:-1]
    out, live = np.zeros((2, *lead), np.longdouble), np.zeros(lead, bool)
    for row in np.ndindex(lead):
        keep = allowed[row] & (s[row] != -np.inf)
        live[row] = keep.any()
        if live[row]:
            z, t = s[row][keep], r[row][keep]
            bad = not (np.isfinite(z).all() and np.isfinite(t).all())
            out[(slice(None), *row)] = np.nan if bad else cost(z, t)
    return list(out), live


def of_lists(cost: Callable[..., Any]) -> Callable[..., Any]:
    """Oracle of ``cost(s, r, **options)`` of one list."""

    def oracle(s, r, *, axis=-1, where=None, weight=None, reduction="mean", **options):
        def one(z: np.ndarray, t: np.ndarray) -> Any:
            return cost(z, t, **options)

        (loss, _), live = by_lists(one, s, r, axis=axis, where=where)
        return reduced(loss, reduction, live=live, weight=weight)

    return oracle


def places(s: np.ndarray) -> np.ndarray:
    """Ranks 1, 2, ... of one list, equal scores by index."""
    rank = np.empty(s.size)
    rank[np.argsort(-s, kind="stable")] = np.arange(1, s.size + 1)
    return rank


def list_gains(r: np.ndarray, k: int | None = None) -> np.ndarray:
    """Gains of one list over the best DCG of its first `k`."""
    gain = 2.0**r - 1.0
    best = np.sort(gain)[::-1][:k]
    ideal = np.sum(best / np.log2(np.arange(2, best.size + 2, dtype=np.longdouble)))
    return gain / ideal if ideal else 0.0 * gain


def padded(load: Callable[[str], Any], n: int) -> tuple[tuple, dict[str, Any]]:
    """Scores and relevance of allRank's golden lists, whose padding has relevance -1."""
    z = load("classic-ranking__ranking")
    r = z[f"in_relevance_{n}"]
    return (z[f"in_scores_{n}"], r), {"where": r >= 0}
