r"""Softmax attention: reference, derivatives, kernels.

Contract: ``f(q, k, v, mask, bias, sink, slopes, q_lengths, k_lengths, scale=, causal=, window=,
softcap=)`` gives ``(out, lse)`` with q (..., Hq, L, D), k (..., Hk, S, D), v (..., Hk, S, Dv),
out (..., Hq, L, Dv), lse (..., Hq, L).

Order of operations: scale, softcap, bias, ALiBi, mask, sink.  Query i stands at key position
i + offset, where offset is (valid keys) - (valid queries), or 0 for ``causal="upper_left"``.
A row of q, k or v that holds NaN or inf counts as zeros in the products, and makes NaN of exactly
the queries that attend it.
"""

from __future__ import annotations

from typing import Any

from anymax._array import Array, arange, device, stop_gradient
from anymax._dispatch import Facts, Kernel, Primitive
from anymax.primitives._masked import nonzero, safe_max, select
from anymax.primitives._positions import Positions


def _reference(xp, q, k, v, mask, bias, sink, slopes, q_lengths, k_lengths, **options):
    s, keep, hit, _ = scores(xp, q, k, mask, bias, slopes, q_lengths, k_lengths, v=v, **options)
    e, total, m = _normaliser(xp, s, keep, sink, q_lengths)
    v0, _ = clean(xp, v)
    o = _grouped_matmul(xp, e / nonzero(xp, total), v0)
    lse = xp.squeeze(select(xp, total != 0, xp.log(nonzero(xp, total)) + m, -xp.inf), axis=-1)
    poisoned = xp.any(hit, axis=-1)
    nan = xp.full_like(lse, xp.nan)
    return xp.where(xp.expand_dims(poisoned, axis=-1), xp.full_like(o, xp.nan), o), xp.where(
        poisoned, nan, lse
    )


def weights(xp, q, k, mask, bias, sink, slopes, q_lengths, k_lengths, **options) -> Array:
    """The attention weights (..., Hq, L, S) themselves; rows that attend a bad key are NaN."""
    s, keep, hit, _ = scores(xp, q, k, mask, bias, slopes, q_lengths, k_lengths, **options)
    e, total, _ = _normaliser(xp, s, keep, sink, q_lengths)
    poisoned = xp.any(hit, axis=-1, keepdims=True) & keep
    return xp.where(poisoned, xp.full_like(e, xp.nan), e / nonzero(xp, total))


def scores(
    xp, q, k, mask, bias, slopes, q_lengths, k_lengths, *, scale, causal, window, softcap, v=None
):
    """Finite scores (..., Hq, L, S), who attends whom, who meets a bad number, softcap's slope."""
    q0, q_bad = clean(xp, q)
    k0, k_bad = clean(xp, k)
    bad = q_bad | _per_query_head(xp, _columns(xp, k_bad), q)
    if v is not None:
        bad = bad | _per_query_head(xp, _columns(xp, clean(xp, v)[1]), q)
    s = _grouped_scores(xp, q0, k0) * scale
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


def _columns(xp: Any, flags: Array) -> Array:
    """(..., H, S, 1) -> (..., H, 1, S)."""
    return xp.matrix_transpose(flags)


def _per_query_head(xp: Any, x: Array, q: Array) -> Array:
    """Something per key head (..., Hk, a, b) as one per query head (..., Hq, a, b)."""
    heads, groups = x.shape[-3], q.shape[-3] // max(x.shape[-3], 1)
    if groups == 1 or heads == 0:
        return x
    x = xp.expand_dims(x, axis=-3)
    x = xp.broadcast_to(x, (*x.shape[:-3], groups, *x.shape[-2:]))
    return xp.reshape(x, (*x.shape[:-4], heads * groups, *x.shape[-2:]))


def _grouped_scores(xp: Any, q: Array, k: Array) -> Array:
    return _per_group(xp, q, k, lambda a, b: a @ xp.matrix_transpose(b))


def _grouped_matmul(xp: Any, p: Array, v: Array) -> Array:
    return _per_group(xp, p, v, lambda a, b: a @ b)


def _per_group(xp: Any, a: Array, b: Array, product) -> Array:
    """product(a, b) with the query heads of a group sharing one key head, nothing repeated."""
    heads, groups = b.shape[-3], a.shape[-3] // max(b.shape[-3], 1)
    if groups == 1 or heads == 0:
        return product(a, b)
    a = xp.reshape(a, (*a.shape[:-3], heads, groups, *a.shape[-2:]))
    y = product(a, xp.expand_dims(b, axis=-3))
    return xp.reshape(y, (*y.shape[:-4], heads * groups, *y.shape[-2:]))


def _normaliser(xp: Any, s: Array, keep: Array, sink: Array | None, q_lengths: Array | None):
    """exp(s - m), its sum with the sink, and the shift m, all with a key axis.

    Padded queries have no sum: not even the sink counts.
    """
    m = safe_max(xp, s, keep, (s.ndim - 1,))
    if sink is not None:
        t = sink[..., None, None]
        live = t != -xp.inf
        top = select(xp, live, stop_gradient(t))
        seen = xp.any(keep, axis=-1, keepdims=True)
        m = xp.where(seen & live, xp.maximum(m, top), xp.where(seen, m, top))
    e = select(xp, keep, xp.exp(select(xp, keep, s - m)))
    total = xp.sum(e, axis=-1, keepdims=True)
    if sink is not None:
        total = total + select(xp, live, xp.exp(select(xp, live, select(xp, live, t) - m)))
        if q_lengths is not None:
            valid = arange(xp, s.shape[-2], s) < q_lengths[..., None]
            total = select(xp, valid[..., None, :, None], total)
    return e, total, m


def _vjp(xp, operands, outputs, cotangents, needs, **options):
    q, k, v, mask, bias, sink, slopes, q_lengths, k_lengths = operands
    out, lse = outputs
    do, dlse = cotangents
    s, keep, hit, slope = scores(xp, q, k, mask, bias, slopes, q_lengths, k_lengths, v=v, **options)
    dead = xp.any(hit, axis=-1, keepdims=True) | ~xp.expand_dims(xp.isfinite(lse), axis=-1)
    lse_column = xp.expand_dims(lse, axis=-1)
    n = select(xp, ~dead, lse_column)
    live = keep & ~dead
    p = select(xp, live, xp.exp(select(xp, live, s - n)))
    do = xp.zeros_like(out) if do is None else select(xp, ~dead, do)
    delta = xp.sum(do * select(xp, ~dead, out), axis=-1, keepdims=True)
    if dlse is not None:
        delta = delta - select(xp, ~dead, xp.expand_dims(dlse, axis=-1))
    q0, q_bad = clean(xp, q)
    k0, k_bad = clean(xp, k)
    v0, v_bad = clean(xp, v)
    dp = _grouped_scores(xp, do, v0)
    ds = p * (dp - delta)
    grads: list[Array | None] = [None] * 9
    _score_grads(xp, grads, ds, needs, operands, options)
    raw = ds if slope is None else ds * slope
    raw = raw * options["scale"]
    if needs[0]:
        dq = select(xp, ~q_bad, _grouped_matmul(xp, raw, k0))
        grads[0] = _unbroadcast(xp, dq, q.shape)
    if needs[1]:
        dk = select(xp, ~k_bad, _key_sum(xp, raw, q0, k))
        grads[1] = _unbroadcast(xp, dk, k.shape)
    if needs[2]:
        dv = select(xp, ~v_bad, _key_sum(xp, p, do, v))
        grads[2] = _unbroadcast(xp, dv, v.shape)
    if needs[5]:
        t = sink[..., None, None]
        alive = (t != -xp.inf) & ~dead
        share = select(xp, alive, xp.exp(select(xp, alive, t - n)))
        per_head = xp.sum(-share * delta, axis=(-2, -1))
        grads[5] = _unbroadcast(xp, per_head, sink.shape)
    return tuple(grads)


def _score_grads(xp, grads, ds, needs, operands, options) -> None:
    """Gradients of what is added to the scores: the bias and the ALiBi slopes."""
    q, k, _, _, bias, _, slopes, q_lengths, k_lengths = operands
    if needs[4]:
        grads[4] = select(xp, xp.isfinite(bias), _unbroadcast(xp, ds, bias.shape))
    if needs[6]:
        place = Positions(xp, q, k, q_lengths, k_lengths, options["causal"])
        distance = xp.astype(xp.abs(place.relative), ds.dtype)
        grads[6] = _unbroadcast(xp, xp.sum(-ds * distance, axis=(-2, -1)), slopes.shape)


def _key_sum(xp: Any, p: Array, x: Array, like: Array) -> Array:
    """p^T x, summed over the query heads that share a key head."""
    y = xp.matrix_transpose(p) @ x
    heads = like.shape[-3]
    groups = y.shape[-3] // max(heads, 1)
    if groups <= 1:
        return y
    y = xp.reshape(y, (*y.shape[:-3], heads, groups, *y.shape[-2:]))
    return xp.sum(y, axis=-3)


def _unbroadcast(xp: Any, g: Array, shape: tuple) -> Array:
    """Sum of `g` over the axes along which an array of `shape` was broadcast."""
    shape = tuple(shape)
    lead = g.ndim - len(shape)
    if lead:
        g = xp.sum(g, axis=tuple(range(lead)))
    wide = tuple(a for a, n in enumerate(shape) if n == 1 and g.shape[a] != 1)
    return xp.sum(g, axis=wide, keepdims=True) if wide else g


def _jvp(xp, operands, outputs, tangents, **options):
    """Tangent of (out, lse); tangents of constant operands are None."""
    q, k, v, mask, bias, sink, slopes, q_lengths, k_lengths = operands
    tq, tk, tv, _, tbias, tsink, tslopes = tangents[:7]
    s, keep, hit, slope = scores(xp, q, k, mask, bias, slopes, q_lengths, k_lengths, v=v, **options)
    e, total, m = _normaliser(xp, s, keep, sink, q_lengths)
    p = e / nonzero(xp, total)
    q0, k0, v0 = (clean(xp, a)[0] for a in (q, k, v))
    ts = xp.zeros_like(s)
    if tq is not None:
        ts = ts + _grouped_scores(xp, tq, k0)
    if tk is not None:
        ts = ts + _grouped_scores(xp, q0, tk)
    ts = ts * options["scale"] if slope is None else ts * slope * options["scale"]
    if tbias is not None:
        ts = ts + select(xp, xp.isfinite(bias), tbias)
    if tslopes is not None:
        place = Positions(xp, q, k, q_lengths, k_lengths, options["causal"])
        distance = xp.astype(xp.abs(place.relative), s.dtype)
        ts = ts - tslopes[..., None, None] * distance
    tlse = xp.sum(p * ts, axis=-1, keepdims=True)
    if tsink is not None:
        t = sink[..., None, None]
        share = select(xp, total != 0, xp.exp(t - m) / nonzero(xp, total))
        tlse = tlse + share * tsink[..., None, None]
    tout = _grouped_matmul(xp, p * (ts - tlse), v0)
    if tv is not None:
        tout = tout + _grouped_matmul(xp, p, tv)
    alive = ~xp.any(hit, axis=-1, keepdims=True)
    return select(xp, alive, tout), xp.squeeze(select(xp, alive, tlse), axis=-1)


def _why_not(facts: Facts) -> str | None:
    if facts.dtypes[3] not in (None, "bool"):
        return f"the mask has dtype {facts.dtypes[3]}"
    return None


attend = Primitive(
    "attend",
    _reference,
    _vjp,
    _jvp,
    (True, False),
    (
        Kernel("numba", "anymax._cpu.attend", "forward", "backward", _why_not),
        Kernel("cuda", "anymax._cuda.attend", "forward", "backward", _why_not),
    ),
)
