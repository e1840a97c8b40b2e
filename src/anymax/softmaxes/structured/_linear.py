"""Logits of a linear layer."""

from __future__ import annotations

from typing import Any

from anymax._array import Array
from anymax.primitives._masked import select


def linear(xp: Any, x: Array, w: Array, bias: Array | None = None) -> Array:
    """``x @ w.T + bias`` for x (..., D) and w (C, D); a bias of -inf masks for certain.

    A row of x that is not finite gives NaN by selection: in the product it would spread to the
    gradient of every row of w, those of masked classes among them, as 0 * NaN is NaN.
    """
    good = xp.all(xp.isfinite(x), axis=-1, keepdims=True)
    x = select(xp, good, x)
    wt = xp.matrix_transpose(w)
    y = xp.matmul(x[None, :], wt)[0, ...] if x.ndim == 1 else xp.matmul(x, wt)
    y = select(xp, good, y, xp.nan)
    if bias is None:
        return y
    some = bias != -xp.inf
    return select(xp, some, y + select(xp, some, bias), -xp.inf)
