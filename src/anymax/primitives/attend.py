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

from anymax._array import Array, arange, stop_gradient
from anymax._dispatch import Facts, Kernel, Primitive
from anymax.primitives._masked import nonzero, safe_max, select
from anymax.primitives._scores import (
    clean,
    grouped_matmul,
    grouped_scores,
    pull,
    push,
    scores,
    unbroadcast,
)


def _reference(xp, q, k, v, mask, bias, sink, slopes, q_lengths, k_lengths, **options):
    s, keep, hit, _ = scores(xp, q, k, mask, bias, slopes, q_lengths, k_lengths, v=v, **options)
    e, total, m = _normaliser(xp, s, keep, sink, q_lengths)
    v0, _ = clean(xp, v)
    o = grouped_matmul(xp, e / nonzero(xp, total), v0)
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
    ds = p * (grouped_scores(xp, do, clean(xp, v)[0]) - delta)
    grads: list[Array | None] = [None] * 9
    grads[0], grads[1], grads[2], grads[4], grads[6] = pull(
        xp, p, ds, do, slope, q, k, v, bias, slopes, q_lengths, k_lengths,
        (needs[0], needs[1], needs[2], needs[4], needs[6]),
        causal=options["causal"], scale=options["scale"],
    )  # fmt: skip
    if needs[5]:
        t = sink[..., None, None]
        alive = (t != -xp.inf) & ~dead
        share = select(xp, alive, xp.exp(select(xp, alive, t - n)))
        per_head = xp.sum(-share * delta, axis=(-2, -1))
        grads[5] = unbroadcast(xp, per_head, sink.shape)
    return tuple(grads)


def _jvp(xp, operands, outputs, tangents, **options):
    """Tangent of (out, lse); tangents of constant operands are None."""
    q, k, v, mask, bias, sink, slopes, q_lengths, k_lengths = operands
    tq, tk, tv, _, tbias, tsink, tslopes = tangents[:7]
    s, keep, hit, slope = scores(xp, q, k, mask, bias, slopes, q_lengths, k_lengths, v=v, **options)
    e, total, m = _normaliser(xp, s, keep, sink, q_lengths)
    p = e / nonzero(xp, total)
    ts = push(
        xp, q, k, bias, slopes, q_lengths, k_lengths, slope, s, (tq, tk, tbias, tslopes),
        causal=options["causal"], scale=options["scale"],
    )  # fmt: skip
    tlse = xp.sum(p * ts, axis=-1, keepdims=True)
    if tsink is not None:
        t = sink[..., None, None]
        share = select(xp, total != 0, xp.exp(t - m) / nonzero(xp, total))
        tlse = tlse + share * tsink[..., None, None]
    tout = grouped_matmul(xp, p * (ts - tlse), clean(xp, v)[0])
    if tv is not None:
        tout = tout + grouped_matmul(xp, p, tv)
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
