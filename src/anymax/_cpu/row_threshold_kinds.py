"""Kinds of threshold maps as the kernels know them, and one parameter a row."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymax._cpu.arrays import as_floats

__all__ = ["BUDGET", "ENTMAX", "KINDS", "LOG_SIGMOID", "NORMMAX", "SIGMOID", "parameters"]

ENTMAX, NORMMAX, BUDGET, SIGMOID, LOG_SIGMOID = range(5)
KINDS = {
    "entmax": ENTMAX,
    "normmax": NORMMAX,
    "budget": BUDGET,
    "soft_top_k": SIGMOID,
    "log_soft_top_k": LOG_SIGMOID,
}


def parameters(parameter: Any, value: float, shape: Any, axis: Any, count: int) -> Any:
    """One float64 a row, in the order of the rows."""
    if parameter is None:
        return np.full(count, value)
    axes = (axis,) if isinstance(axis, int) else axis
    lead = tuple(1 if i in axes else n for i, n in enumerate(shape))
    given = as_floats(parameter, np.dtype(np.float64))
    given = np.broadcast_to(given.reshape((1,) * (len(shape) - given.ndim) + given.shape), lead)
    return np.ascontiguousarray(given).reshape(-1)
