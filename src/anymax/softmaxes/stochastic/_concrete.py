"""The constant of the Concrete density."""

from __future__ import annotations

import math
from typing import Any

from anymax import _array
from anymax._array import Array


def with_constant(xp: Any, total: Array, keep: Array, t: Any, axis: tuple[int, ...]) -> Array:
    """Add log Gamma(n) + (n - 1) log T, n classes taking part; -inf for none."""
    n = xp.sum(xp.astype(keep, xp.int32), axis=axis, dtype=xp.int32)
    table = xp.asarray(
        _log_gamma(math.prod([keep.shape[a] for a in axis])),
        dtype=total.dtype, device=_array.device(total),
    )  # fmt: skip
    if _array.is_scalar(t):
        log_t = math.log(t)
    else:
        log_t = xp.log(t)
        lead = keep.ndim - t.ndim
        log_t = (
            xp.squeeze(log_t, axis=tuple(a - lead for a in axis if a >= lead)) if t.ndim else log_t
        )
    free = xp.astype(n - 1, total.dtype) * log_t
    return xp.where(n > 0, total + _array.take(xp, table, n) + free, xp.full_like(total, -xp.inf))


def _log_gamma(n: int) -> list[float]:
    return [math.lgamma(max(i, 1)) for i in range(n + 1)]
