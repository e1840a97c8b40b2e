"""Oracles of losses: rows, masks, weights and reductions here, so that an oracle is one formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anymax._conformance.rows import edge_logits, logits
from anymax.testing import Case


def by_examples(
    cost: Callable[..., Any],
    logits: np.ndarray,
    target: np.ndarray,
    *parameters: Any,
    axis: int = -1,
    where: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
    finite: bool = True,
) -> np.ndarray:
    """A loss on classes from ``cost(z, t, lost, *parameters)`` of one example.

    z and t are the logits and the target probabilities of the classes that take part; `lost` tells
    whether the target has weight on others.  Parameters are numbers, or have one number an example.
    `weight` is per class and weighs the target.  With `finite`, NaN or +inf in z makes a loss NaN.
    """
    soft = target.dtype.kind == "f"
    x = np.moveaxis(logits, axis, -1)
    part = np.moveaxis(np.broadcast_to(True if where is None else where, logits.shape), axis, -1)
    t = np.moveaxis(target, axis, -1) if soft else np.arange(x.shape[-1]) == target[..., None]
    lead = x.shape[:-1]
    given = [np.broadcast_to(p, lead) for p in parameters]
    loss, live = np.zeros(lead, np.longdouble), np.zeros(lead, bool)
    for row in np.ndindex(lead):
        keep = part[row] & (x[row] != -np.inf)
        live[row] = keep.any() and (soft or target[row] != ignore_index)
        if not live[row]:
            continue
        z, share = x[row][keep], t[row].astype(np.longdouble)
        lost = bool(np.any(share[~keep] > 0))
        bad = finite and not np.isfinite(z).all()
        loss[row] = np.nan if bad else cost(z, share[keep], lost, *(p[row] for p in given))
    w = None if weight is None else np.sum(t * weight, axis=-1)
    return reduced(loss, reduction, live=live, weight=w)


def reduced(
    loss: np.ndarray,
    reduction: str,
    *,
    live: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    by_count: bool = False,
) -> np.ndarray:
    """Losses of examples, weighted and reduced; the mean divides by the sum of the weights."""
    live = np.broadcast_to(True if live is None else live, loss.shape)
    w = np.broadcast_to(1.0 if weight is None else weight, loss.shape)
    loss = np.where(live & (w != 0), np.where(w != 0, loss, 0) * w, 0)
    if reduction != "mean":
        return loss if reduction == "none" else np.sum(loss)
    count = np.sum(np.where(live, 1.0 if by_count else w, 0))
    return np.asarray(np.sum(loss) / count if count else 0.0, loss.dtype)


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Log-probabilities of one row."""
    z = z - np.max(z)
    return z - np.log(np.sum(np.exp(z)))


def labelled_cases(*, soft: bool = True, **options: Any) -> list[Case]:
    """What losses on classes have to survive; with `soft`, targets that do not sum to one too."""
    edges, where = edge_logits()
    labels = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0])
    x = logits(6, 5, seed=8).reshape(2, 3, 5)
    y = np.asarray([[0, 4, 2], [3, 3, 1]])
    shares = (1.0 + np.arange(30).reshape(2, 3, 5) % 7) / 16.0
    weight = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
    rows = {"reduction": "none", **options}
    cases = [
        Case("edges", (edges, labels), rows, compiled=True),
        Case("masked", (edges, labels), {"where": where, **rows}, compiled=True),
        Case("mean", (x, y), options, smooth=True),
        Case("weighted", (x, y), {"weight": weight, **options}, wrt=(0, "weight"), smooth=True),
        Case("soft", (x, shares), {"reduction": "sum", **options}, wrt=(0, 1), smooth=True),
        Case("dropped", (x, y), {"where": np.arange(6).reshape(2, 3, 1) % 2 == 0, **options}),
        Case("one_class", (logits(4, 1), np.zeros(4, int)), options),
        Case("no_row", (np.zeros((0, 4)), np.zeros(0, int)), options),
    ]
    return cases if soft else [case for case in cases if case.name != "soft"]


# -- losses of single logits ---------------------------------------------------------------------


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    """Logarithm of the sigmoid of every number; infinities too."""
    return -np.logaddexp(np.zeros_like(x), -x)


def binary_edges() -> tuple[np.ndarray, np.ndarray]:
    """Logits (10, 2) worth testing, each beside both targets."""
    x = [0.0, 0.75, -2.0, 40.0, -40.0, 10240.0, -10240.0, np.inf, -np.inf, np.nan]
    return np.stack([x, x], axis=-1), np.asarray([[0.0, 1.0]] * len(x))


def drawn_binary(rng: np.random.Generator) -> Case:
    """A random call of a loss of logits and targets in [0, 1]."""
    shape = tuple(rng.integers(1, 5, size=rng.integers(0, 3)))
    x = rng.normal(size=shape) * rng.choice([1.0, 20.0])
    y = rng.uniform(size=shape) if rng.integers(2) else rng.integers(0, 2, size=shape)
    return Case("drawn", (np.asarray(x), np.asarray(y)))
