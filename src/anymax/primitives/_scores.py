"""The scores of attention and what all attentions over them share, in plain array-API code.

Order of operations: scale, softcap, bias, ALiBi, mask.  A row of q, k or v that holds NaN or inf
counts as zeros in the products, and makes NaN of exactly the queries that attend it.
"""

from __future__ import annotations

from typing import Any

from anymax._array import Array, device
from anymax.primitives._masked import select
from anymax.primitives._positions import Positions


def scores(
    xp, q, k, mask, bias, slopes, q_lengths, k_lengths, *, scale, causal, window, softcap, v=None
):
    """Finite scores (..., Hq, L, S), who attends whom, who meets a bad number, softcap's slope."""
    q0, q_bad = clean(xp, q)
    k0, k_bad = clean(xp, k)
    bad = q_bad | _per_query_head(xp, _columns(xp, k_bad), q)
    if v is not None:
        bad = bad | _per_query_head(xp, _columns(xp, clean(xp, v)[1]), q)
    s = grouped_scores(xp, q0, k0) * scale
    slope = None
    if softcap is not None:
        t = xp.tanh(s / softcap)
        s, slope = softcap * t, 1.0 - xp.square(t)
    if bias is not None:
        masked = bias == -xp.inf
        mask = ~masked if mask is None else mask & ~masked
        fine = xp.isfinite(bias)
        bad = bad | ~(fine | masked)
        s = s + select(xp, fine, bias)
    place = Positions(xp, q, k, q_lengths, k_lengths, causal)
    if slopes is not None:
        distance = xp.astype(xp.abs(place.relative), s.dtype)
        s = s - slopes[..., None, None] * distance
    keep = place.visible(causal, window)
    if mask is not None:
        keep = mask if keep is None else keep & mask
    if keep is None:
        keep = xp.ones((1, 1), dtype=xp.bool, device=device(q))
    keep = xp.broadcast_to(keep, s.shape)
    return s, keep, bad & keep, slope


def clean(xp: Any, a: Array) -> tuple[Array, Array]:
    """`a` with rows that hold NaN or inf set to zero, and which rows those are (..., n, 1)."""
    bad = ~xp.all(xp.isfinite(a), axis=-1, keepdims=True)
    return xp.where(bad, xp.zeros_like(a), a), bad


def grouped_scores(xp: Any, q: Array, k: Array) -> Array:
    """q k^T with the heads of a group sharing a key head."""
    return _per_group(xp, q, k, lambda a, b: a @ xp.matrix_transpose(b))


def grouped_matmul(xp: Any, p: Array, v: Array) -> Array:
    """p v with the heads of a group sharing a value head."""
    return _per_group(xp, p, v, lambda a, b: a @ b)


def pull(
    xp, p, ds, do, slope, q, k, v, bias, slopes, q_lengths, k_lengths, needs, *, causal, scale
) -> list[Array | None]:
    """Gradients of q, k, v, bias and slopes from weights p and the gradient ds of the scores.

    `do` is the cotangent of the output, `slope` the derivative of the cap or None; `needs` says
    which of the five are wanted.
    """
    grads: list[Array | None] = [None] * 5
    if needs[3]:
        grads[3] = select(xp, xp.isfinite(bias), unbroadcast(xp, ds, bias.shape))
    if needs[4]:
        place = Positions(xp, q, k, q_lengths, k_lengths, causal)
        distance = xp.astype(xp.abs(place.relative), ds.dtype)
        grads[4] = unbroadcast(xp, xp.sum(-ds * distance, axis=(-2, -1)), slopes.shape)
    raw = (ds if slope is None else ds * slope) * scale
    (q0, q_bad), (k0, k_bad), (_, v_bad) = (clean(xp, a) for a in (q, k, v))
    if needs[0]:
        grads[0] = unbroadcast(xp, select(xp, ~q_bad, grouped_matmul(xp, raw, k0)), q.shape)
    if needs[1]:
        grads[1] = unbroadcast(xp, select(xp, ~k_bad, _key_sum(xp, raw, q0, k)), k.shape)
    if needs[2]:
        grads[2] = unbroadcast(xp, select(xp, ~v_bad, _key_sum(xp, p, do, v)), v.shape)
    return grads


def push(xp, q, k, bias, slopes, q_lengths, k_lengths, slope, like, tangents, *, causal, scale):
    """Tangent of the scores, of the shape of `like`, from those of q, k, bias and slopes."""
    tq, tk, tbias, tslopes = tangents
    ts = xp.zeros_like(like)
    if tq is not None:
        ts = ts + grouped_scores(xp, tq, clean(xp, k)[0])
    if tk is not None:
        ts = ts + grouped_scores(xp, clean(xp, q)[0], tk)
    ts = (ts if slope is None else ts * slope) * scale
    if tbias is not None:
        ts = ts + select(xp, xp.isfinite(bias), tbias)
    if tslopes is not None:
        place = Positions(xp, q, k, q_lengths, k_lengths, causal)
        ts = ts - tslopes[..., None, None] * xp.astype(xp.abs(place.relative), like.dtype)
    return ts


def unbroadcast(xp: Any, g: Array, shape: tuple) -> Array:
    """Sum of `g` over the axes along which an array of `shape` was broadcast."""
    shape = tuple(shape)
    lead = g.ndim - len(shape)
    if lead:
        g = xp.sum(g, axis=tuple(range(lead)))
    wide = tuple(a for a, n in enumerate(shape) if n == 1 and g.shape[a] != 1)
    return xp.sum(g, axis=wide, keepdims=True) if wide else g


def _per_group(xp: Any, a: Array, b: Array, product) -> Array:
    """product(a, b) with the query heads of a group sharing one key head, nothing repeated."""
    heads, groups = b.shape[-3], a.shape[-3] // max(b.shape[-3], 1)
    if groups == 1 or heads == 0:
        return product(a, b)
    a = xp.reshape(a, (*a.shape[:-3], heads, groups, *a.shape[-2:]))
    y = product(a, xp.expand_dims(b, axis=-3))
    return xp.reshape(y, (*y.shape[:-4], heads * groups, *y.shape[-2:]))


def _per_query_head(xp: Any, x: Array, q: Array) -> Array:
    """Something per key head (..., Hk, a, b) as one per query head (..., Hq, a, b)."""
    heads, groups = x.shape[-3], q.shape[-3] // max(x.shape[-3], 1)
    if groups == 1 or heads == 0:
        return x
    x = xp.expand_dims(x, axis=-3)
    x = xp.broadcast_to(x, (*x.shape[:-3], groups, *x.shape[-2:]))
    return xp.reshape(x, (*x.shape[:-4], heads * groups, *x.shape[-2:]))


def _columns(xp: Any, flags: Array) -> Array:
    """(..., H, S, 1) -> (..., H, 1, S)."""
    return xp.matrix_transpose(flags)


def _key_sum(xp: Any, p: Array, x: Array, like: Array) -> Array:
    """p^T x, summed over the query heads that share a key head."""
    y = xp.matrix_transpose(p) @ x
    heads = like.shape[-3]
    groups = y.shape[-3] // max(heads, 1)
    if groups <= 1:
        return y
    y = xp.reshape(y, (*y.shape[:-3], heads, groups, *y.shape[-2:]))
    return xp.sum(y, axis=-3)
