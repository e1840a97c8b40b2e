"""Pieces of the masking policy that the primitives share, in plain array-API code.

The rule: select before computing, and guard the input *and* the output of every exp, log and
division.  One guard alone gives 0 * NaN in a gradient.
"""

from __future__ import annotations

from typing import Any

from anymax._array import Array, stop_gradient


def kept(xp: Any, x: Array, where: Array | None) -> Array:
    """Positions that take part: not -inf, and allowed by `where` (NaN takes part)."""
    keep = x != -xp.inf
    return keep if where is None else keep & where


def select(xp: Any, keep: Array, x: Array, otherwise: float = 0.0) -> Array:
    """`x` where `keep`, a constant elsewhere."""
    fill = xp.full_like(x, otherwise) if otherwise else xp.zeros_like(x)
    return xp.where(keep, x, fill)


def safe_max(xp: Any, x: Array, keep: Array, axis: tuple[int, ...]) -> Array:
    """Maximum over the kept positions as a constant, with `axis` kept; 0 for a row without any."""
    if 0 in x.shape:  # max over nothing raises (dask: over no rows too), the sum is the 0 we want
        return xp.sum(x, axis=axis, keepdims=True)
    m = xp.max(select(xp, keep, stop_gradient(x), -xp.inf), axis=axis, keepdims=True)
    return select(xp, m != -xp.inf, m)


def exponentials(
    xp: Any, x: Array, where: Array | None, axis: tuple[int, ...], scale: float
) -> tuple[Array, Array, Array, Array, Array]:
    """Shifted logits z, exp(z), their sum s, the shift m, and the kept positions.

    ``exp(z_i) / s`` is the softmax of ``scale * x`` and ``m + log(s)`` its logsumexp.  Masked
    positions have z = 0 and exp 0; an empty row has m = 0 and s = 0.
    """
    if scale < 0:
        x, scale = -x, -scale
    keep = kept(xp, x, where)
    m = safe_max(xp, x, keep, axis)
    shift = xp.where(m == xp.inf, xp.full_like(m, xp.nan), m)  # inf - inf would warn
    z = select(xp, keep, select(xp, keep, x) - shift)
    if scale != 1.0:
        z, m = z * scale, m * scale
    e = select(xp, keep, xp.exp(z))
    return z, e, xp.sum(e, axis=axis, keepdims=True), m, keep


def nonzero(xp: Any, s: Array) -> Array:
    """A divisor that is never 0: 1 in its place."""
    return select(xp, s != 0, s, 1.0)
