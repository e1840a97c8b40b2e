r"""Attention whose weights are a function of their own score alone, with no sum to one.

Contract: ``f(q, k, v, mask, bias, slopes, q_lengths, k_lengths, scale=, causal=, window=, softcap=,
kind=, shift=, power=, normalize=)`` gives ``(out, total)``:
:math:`\sum_j \phi(s_{ij} + \text{shift})\,v_j` and the row sums
:math:`\sum_j \phi(s_{ij} + \text{shift})`, shapes and scores s as in `attend`.  With `normalize`
the output is divided by the row's sum, and 0 where that is 0.

* kind "sigmoid": :math:`1/(1+e^{-x})`; "softplus": :math:`\log(1+e^x)`; "relu":
  :math:`\max(x, 0)^{\text{power}}` for a whole power of at least 1.

A query that attends a row with NaN or inf gets NaN in both, and carries no gradient.
"""

from __future__ import annotations

from typing import Any

from anymax._array import Array
from anymax._dispatch import Facts, Kernel, Primitive
from anymax.primitives._masked import nonzero, select
from anymax.primitives._scores import clean, grouped_matmul, grouped_scores, pull, push, scores

KINDS = ("sigmoid", "softplus", "relu")


def weigh(xp: Any, s: Array, kind: str, power: int) -> tuple[Array, Array]:
    """Weights of finite scores, and their slopes."""
    if kind == "relu":
        above = select(xp, s > 0, s)
        if power == 1:
            return above, xp.astype(s > 0, s.dtype)
        return above**power, power * above ** (power - 1)
    high = s >= 0
    e = xp.exp(-xp.abs(s))
    part = e / (1.0 + e)
    sigmoid = xp.where(high, 1.0 / (1.0 + e), part)
    if kind == "sigmoid":
        return sigmoid, part / (1.0 + e)
    return select(xp, high, s) + xp.log1p(e), sigmoid


def _weights(xp, q, k, v, mask, bias, slopes, q_lengths, k_lengths, kind, shift, power, **options):
    """Weights and slopes, 0 where masked; poisoned rows; the slope of the cap; scores."""
    s, keep, hit, slope = scores(xp, q, k, mask, bias, slopes, q_lengths, k_lengths, v=v, **options)
    s = s + shift if shift else s
    w, rate = weigh(xp, select(xp, keep, s), kind, power)
    poisoned = xp.any(hit, axis=-1, keepdims=True)
    return select(xp, keep, w), select(xp, keep, rate), poisoned, slope, s


def _reference(xp, q, k, v, *rest, normalize, **options):
    w, _, poisoned, _, _ = _weights(xp, q, k, v, *rest, **options)
    total = xp.sum(w, axis=-1, keepdims=True)
    out = grouped_matmul(xp, w / nonzero(xp, total) if normalize else w, clean(xp, v)[0])
    out, total = (xp.where(poisoned, xp.full_like(y, xp.nan), y) for y in (out, total))
    return out, xp.squeeze(total, axis=-1)


def _vjp(xp, operands, outputs, cotangents, needs, *, normalize, **options):
    q, k, v, _, bias, slopes, q_lengths, k_lengths = operands
    do, dtotal = cotangents
    w, rate, dead, slope, _ = _weights(xp, *operands, **options)
    w, rate = select(xp, ~dead, w), select(xp, ~dead, rate)
    do = xp.zeros_like(outputs[0]) if do is None else select(xp, ~dead, do)
    dw = grouped_scores(xp, do, clean(xp, v)[0])
    if normalize:
        share = 1.0 / nonzero(xp, xp.sum(w, axis=-1, keepdims=True))
        out = select(xp, ~dead, outputs[0])
        dw = share * (dw - xp.sum(do * out, axis=-1, keepdims=True))
        w = w * share
    if dtotal is not None:
        dw = dw + select(xp, ~dead, xp.expand_dims(dtotal, axis=-1))
    grads: list[Array | None] = [None] * 8
    grads[0], grads[1], grads[2], grads[4], grads[5] = pull(
        xp, w, rate * dw, do, slope, q, k, v, bias, slopes, q_lengths, k_lengths,
        (needs[0], needs[1], needs[2], needs[4], needs[5]),
        causal=options["causal"], scale=options["scale"],
    )  # fmt: skip
    return tuple(grads)


def _jvp(xp, operands, outputs, tangents, *, normalize, **options):
    """Tangent of (out, total); tangents of constant operands are None."""
    q, k, v, _, bias, slopes, q_lengths, k_lengths = operands
    tq, tk, tv, _, tbias, tslopes = tangents[:6]
    w, rate, dead, slope, s = _weights(xp, *operands, **options)
    ts = push(
        xp, q, k, bias, slopes, q_lengths, k_lengths, slope, s, (tq, tk, tbias, tslopes),
        causal=options["causal"], scale=options["scale"],
    )  # fmt: skip
    tw = rate * ts
    tsum = xp.sum(tw, axis=-1, keepdims=True)
    if normalize:
        share = 1.0 / nonzero(xp, xp.sum(w, axis=-1, keepdims=True))
        w = w * share
        tw = share * tw - w * (share * tsum)
    tout = grouped_matmul(xp, tw, clean(xp, v)[0])
    if tv is not None:
        tout = tout + grouped_matmul(xp, w, tv)
    return select(xp, ~dead, tout), xp.squeeze(select(xp, ~dead, tsum), axis=-1)


def _why_not(facts: Facts) -> str | None:
    if facts.dtypes[3] not in (None, "bool"):
        return f"the mask has dtype {facts.dtypes[3]}"
    return None


attend_map = Primitive(
    "attend_map",
    _reference,
    _vjp,
    _jvp,
    (True, False),
    (Kernel("numba", "anymax._cpu.attend_map", "forward", "backward", _why_not),),
)
