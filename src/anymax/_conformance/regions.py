"""Arrays and oracles that the cases of the segmentation losses share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anymax._conformance.examples import reduced
from anymax.testing import Case


def probabilities(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers in (0, 1), no two equal."""
    n = int(np.prod(shape))
    order = np.random.default_rng(seed).permutation(n)
    return ((order + 0.75) / (n + 1.0)).reshape(shape)


def region_cases(shares: bool = True) -> list[Case]:
    """What every loss of the probabilities of classes has to survive; class 3 is absent."""
    p = probabilities(2, 6, 4)
    y = np.arange(12).reshape(2, 6) * 7 % 5 % 3
    bad = p.copy()
    bad[0, 1], bad[1, 2, 0] = np.nan, np.inf
    keep = np.isfinite(bad)
    none = {"reduction": "none"}
    cases = [
        Case("bad", (bad, y), none),
        Case("masked", (bad, y), {"where": keep, "per_sample": True, **none}, compiled=True),
        Case("mean", (p, y), smooth=True),
        Case("all", (p, y), {"classes": "all", "per_sample": True}, compiled=True),
        Case("nothing", (p, y), {"where": np.zeros((2, 6, 1), bool)}),
        Case("no_pixel", (np.zeros((0, 3)), np.zeros(0, int))),
        Case("one_pixel", (p[0, 0], np.asarray(1))),
    ]
    if shares:
        t, w = probabilities(2, 6, 4, seed=1), np.asarray([1.0, 0.5, 2.0, 0.0])
        cases += [
            Case("shares", (p, t), {"weight": w, "smooth": 0.5}, wrt=(0, 1), smooth=True),
            Case("hot", (p, t > 0.5), {"reduction": "sum", "axis": 0}),
        ]
    return cases


def drawn_region(rng: np.random.Generator) -> Case:
    """A random call."""
    shape = tuple(rng.integers(1, 5, size=rng.integers(1, 4)))
    target = rng.integers(0, shape[-1], size=shape[:-1])
    return Case("drawn", (rng.uniform(0.05, 0.95, size=shape), target))


def by_regions(
    cost: Callable[..., Any],
    probs: np.ndarray,
    target: np.ndarray,
    *,
    axis: int = -1,
    where: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    classes: str = "present",
    per_sample: bool = False,
    reduction: str = "mean",
) -> np.ndarray:
    """A loss from ``cost(p, t)`` of the pixels of one class that take part."""
    p = np.moveaxis(probs, axis, -1)
    keep = np.moveaxis(np.broadcast_to(where is None or where, probs.shape) != 0, axis, -1)
    if target.ndim == probs.ndim:
        t = np.moveaxis(target, axis, -1).astype(np.longdouble)
    else:
        t = (np.arange(p.shape[-1]) == target[..., None]).astype(np.longdouble)
    lead = p.shape[:1] if per_sample else ()
    p, t, keep = (
        np.reshape(x, (*lead, int(np.prod(p.shape[len(lead) : -1])), p.shape[-1]))
        for x in (p, t, keep)
    )
    loss = np.zeros((*lead, p.shape[-1]), np.longdouble)
    live = np.zeros(loss.shape, bool)
    for place in np.ndindex(loss.shape):
        at = (*place[:-1], slice(None), place[-1])
        z, share = p[at][keep[at]], t[at][keep[at]]
        live[place] = z.size > 0 and (classes == "all" or np.any(share != 0))
        loss[place] = cost(z, share) if live[place] else 0.0
    return reduced(loss, reduction, live=live, weight=weight)


def jaccard_extension(errors: np.ndarray, truth: np.ndarray) -> Any:
    """The Lovasz extension of one minus the Jaccard index, by its definition on sets."""
    order = np.argsort(-np.where(np.isnan(errors), np.inf, errors), kind="stable")
    before, total = 0.0, np.longdouble(0.0)
    for i in range(order.size):
        wrong = order[: i + 1]
        missed, extra = np.sum(truth[wrong]), np.sum(~truth[wrong])
        union = np.sum(truth) + extra
        now = 1.0 - np.longdouble(np.sum(truth) - missed) / union
        e = errors[order[i]]
        if now != before or np.isnan(e):
            total += e * (now - before)
        before = now
    return total
