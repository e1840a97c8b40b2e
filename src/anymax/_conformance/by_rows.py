"""Oracles of maps of rows: axes, masks and bad rows here, so that an oracle is about one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anymax.testing import Case


def by_rows(
    x: np.ndarray,
    axis: Any,
    where: Any,
    weights: Callable[..., np.ndarray],
    *parameters: Any,
    low: float = 0.0,
) -> np.ndarray:
    """Apply ``weights(z, *parameters)`` to all rows at once.

    z is (rows, length), its largest cell 0, cells that take no part -inf; each parameter is a
    number or (rows, 1).  `low` goes where nothing takes part, NaN into what does in a row with NaN
    or +inf.
    """
    x = np.asarray(x)
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    scalar = x.ndim == 0 or not axes
    if scalar:
        x, axes = x[..., None], (-1,)
        where = None if where is None else np.asarray(where)[..., None]
    axes = tuple(sorted(a % x.ndim for a in axes))
    order = [a for a in range(x.ndim) if a not in axes] + list(axes)
    length = int(np.prod([x.shape[a] for a in axes]))
    if x.size == 0:
        return np.zeros(x.shape[:-1] if scalar else x.shape)

    def rows(a: Any) -> np.ndarray:
        return np.broadcast_to(a, x.shape).transpose(order).reshape(-1, length)

    flat = rows(x)
    keep = (flat != -np.inf) & (True if where is None else rows(where))
    bad = np.any(keep & ~np.isfinite(flat), axis=-1, keepdims=True)
    live = keep & ~bad
    z = np.where(live, flat, -np.inf)
    top = np.max(z, axis=-1, keepdims=True)
    z = np.where(live, np.where(live, z, 0) - np.where(np.isfinite(top), top, 0), -np.inf)
    z = np.where(live.any(axis=-1, keepdims=True), z, 0)  # nothing to solve for, and no NaN
    given = [p if np.ndim(p) == 0 else rows(p)[:, :1] for p in parameters]
    y = np.where(keep, np.where(bad, np.nan, weights(z, *given)), low)
    back = np.argsort(order)
    y = y.reshape([x.shape[a] for a in order]).transpose(back)
    return y[..., 0] if scalar else y


def bisected(
    residual: Callable[[np.ndarray], np.ndarray], lower: Any, upper: Any, steps: int = 80
) -> np.ndarray:
    """Roots of decreasing functions, by halving brackets until they cannot be halved."""
    for _ in range(steps):
        middle = lower + (upper - lower) / 2
        right = residual(middle) >= 0
        lower, upper = np.where(right, middle, lower), np.where(right, upper, middle)
    return lower


def spared(case: Case) -> Case:
    """The case, long rows not differentiated: differences of a bisection take minutes there."""
    return case if case.large or case.args[0].size < 60 else case.with_(case.name, wrt=())


def untied(x: np.ndarray) -> np.ndarray:
    """Rows with no two equal numbers but 0, along any axis: each cell grows by its place."""
    for a in range(x.ndim):
        n = x.shape[a]
        shape = [n if i == a else 1 for i in range(x.ndim)]
        x = x * (1.0 + np.arange(n).reshape(shape) / 16.0)
    return x
