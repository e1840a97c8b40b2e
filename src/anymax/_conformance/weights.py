"""Oracles of forms s(x) / sum s(x) for case files: the policy in extended precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def log_weights(log_s: Callable, x: Any, axis: Any = -1, where: Any = None) -> np.ndarray:
    """Logarithms of the weights whose own logarithms `log_s` gives; -inf where masked."""
    keep = np.broadcast_to((x != -np.inf) & (True if where is None else where), x.shape)
    axes: Any = tuple(range(x.ndim)) if axis is None or x.ndim == 0 else axis
    z = np.where(keep, log_s(np.where(keep, x, 0.5)), -np.inf)
    bad = np.any(keep & ~(np.isfinite(x) & ~np.isnan(z)), axis=axes, keepdims=True)
    top = np.max(np.where(np.isnan(z), -np.inf, z), axis=axes, keepdims=True, initial=-np.inf)
    base = np.where(np.isfinite(top), top, 0)
    lse = np.log(np.sum(np.exp(z - base), axis=axes, keepdims=True))
    y = np.where(keep & (z != -np.inf), z - base - lse, -np.inf)
    return np.where(keep & bad, np.nan, y)


def weights(log_s: Callable, x: Any, axis: Any = -1, where: Any = None) -> np.ndarray:
    """The weights themselves; 0 where masked."""
    return np.exp(log_weights(log_s, x, axis, where))
