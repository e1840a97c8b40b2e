"""Oracles of losses of pairs of vectors: logits, and rows of them, one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np


def unit(x: np.ndarray, normalize: bool = True) -> np.ndarray:
    """Rows of length one; zero stays zero, a row with NaN or inf becomes NaN."""
    if not normalize:
        return x
    bad = ~np.isfinite(x).all(axis=-1, keepdims=True)
    n = np.sqrt(np.sum(np.where(bad, 0, x) ** 2, axis=-1, keepdims=True))
    return np.where(bad, np.nan, np.where(bad, 0, x) / np.where(n == 0, 1, n))


def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """All products (..., M, N), NaN for rows with NaN or inf."""
    bad_a, bad_b = (~np.isfinite(x).all(axis=-1) for x in (a, b))
    a, b = np.where(bad_a[..., None], 0, a), np.where(bad_b[..., None], 0, b)
    z = np.matmul(a, np.swapaxes(b, -1, -2))
    return np.where(bad_a[..., :, None] | bad_b[..., None, :], np.nan, z)


def apart(z: np.ndarray, where: Any, diagonal: bool = True) -> np.ndarray:
    """What takes part of logits (..., M, N), in their shape."""
    live = np.broadcast_to(True if where is None else where, z.shape)
    return live if diagonal else live & (np.eye(*z.shape[-2:]) == 0)


def lse(z: np.ndarray) -> Any:
    """Logsumexp of numbers, -inf of none."""
    if not z.size:
        return np.longdouble(-np.inf)
    top = np.max(z)
    return top + np.log(np.sum(np.exp(z - top)))


def lse_rows(z: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Logsumexp of what takes part of each row."""
    y = np.zeros(z.shape[:-1], np.longdouble)
    for row in np.ndindex(y.shape):
        y[row] = lse(z[row][live[row]])
    return y


def surprise(z: np.ndarray, live: np.ndarray, own: Any) -> tuple[np.ndarray, np.ndarray]:
    """Cross entropy of one column of each row among what takes part, and which rows have any."""
    own = np.broadcast_to(own, z.shape[:-1])
    loss, seen = np.zeros(z.shape[:-1], np.longdouble), np.asarray(live.any(axis=-1))
    for row in zip(*np.nonzero(seen)):
        kept, at = live[row], own[row]
        loss[row] = lse(z[row][kept]) - z[row][at] if kept[at] else np.inf
    return loss, seen


def column(temperature: Any) -> Any:
    """A temperature that divides rows of logits."""
    return temperature if np.ndim(temperature) == 0 else np.asarray(temperature)[..., None]
