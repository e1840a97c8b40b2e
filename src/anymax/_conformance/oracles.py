"""Rows of exponentials in plain NumPy, which the oracles of several forms are built of."""

from __future__ import annotations

import numpy as np

Axes = int | tuple[int, ...] | None


def taking_part(x: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """What is not masked, by -inf or by a mask, in the shape of `x`."""
    keep = x != -np.inf
    return keep if where is None else keep & np.broadcast_to(where, x.shape)


def axes(x: np.ndarray, axis: Axes) -> tuple[int, ...]:
    """`axis` as a tuple; a 0-d array has none."""
    if x.ndim == 0 or axis == ():
        return ()
    return tuple(range(x.ndim)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))


def weights(x: np.ndarray, keep: np.ndarray, axis: Axes = -1) -> np.ndarray:
    """Softmax over the kept cells, 0 elsewhere."""
    axis = axes(x, axis)
    top = np.max(x, axis=axis, keepdims=True, where=keep, initial=-np.inf)
    top = np.where(top == -np.inf, 0, top)
    e = np.where(keep, np.exp(np.where(keep, x - top, 0)), 0)
    s = np.sum(e, axis=axis, keepdims=True)
    return np.where(keep, e / np.where(s == 0, 1, s), 0)


def log_weights(x: np.ndarray, keep: np.ndarray, axis: Axes = -1) -> np.ndarray:
    """Logarithm of that, -inf elsewhere."""
    axis = axes(x, axis)
    top = np.max(x, axis=axis, keepdims=True, where=keep, initial=-np.inf)
    z = np.where(keep, x - np.where(top == -np.inf, 0, top), 0)
    s = np.sum(np.where(keep, np.exp(z), 0), axis=axis, keepdims=True)
    return np.where(keep, z - np.log(np.where(s == 0, 1, s)), -np.inf)


def logsumexp(x: np.ndarray, keep: np.ndarray, axis: Axes = -1) -> np.ndarray:
    """Logsumexp over the kept cells; -inf over none; +inf where a cell is."""
    axis = axes(x, axis)
    top = np.max(x, axis=axis, keepdims=True, where=keep, initial=-np.inf)
    base = np.where(np.isinf(top), 0, top)
    s = np.sum(np.where(keep, np.exp(np.where(keep, x - base, 0)), 0), axis=axis, keepdims=True)
    lse = np.where(s == 0, -np.inf, np.log(np.where(s == 0, 1, s)) + base)
    return np.squeeze(np.where(top == np.inf, top, lse), axis=axis)


def log_gamma(n: np.ndarray) -> np.ndarray:
    """Logarithm of (n - 1)! in extended precision, for whole n."""
    steps = np.arange(1, max(2, np.max(n, initial=0)), dtype=np.longdouble)
    return np.concatenate([[0, 0], np.cumsum(np.log(steps))])[np.maximum(n, 0)]
