r"""Cross entropy of the logits of a linear layer, which are never stored: chunk after chunk.

Contract: ``f(hidden, w, target, bias, where, weight, row_scale, label_smoothing=,
lse_square_scale=, softcap=, filter_eps=, chunk_size=)`` gives ``(loss, lse)``, both (N,).

Logits are ``hidden @ w.T + bias`` for hidden (N, D), w (V, D), bias (V,); from there on everything
is as in ``row_cross_entropy``: target (N,) integers in [0, V), where boolean (1 or N, 1 or V),
weight (V,), row_scale (N,). Extra memory is that of ``chunk_size`` rows of logits.

* a row of hidden or w that holds NaN or inf gives logits of NaN, and takes no part in the products:
  where those logits are masked, nothing of it is seen, in value or gradient;
* a row whose lse is NaN or +inf has gradient 0: one bad token doesn't spoil the gradient of w;
* a bias of -inf masks its class;
* filter_eps allows a kernel to leave blocks of the gradient of the logits out of the products, in
  which every entry is smaller, relative to the cotangent; the reference is exact.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._dispatch import Facts, Kernel, Primitive
from anymax.primitives._linear import chunks, joined, logits, rows_at, sound
from anymax.primitives._masked import select
from anymax.primitives.row_cross_entropy import row_cross_entropy


def _reference(
    xp, hidden, w, target, bias, where, weight, row_scale, *, chunk_size, filter_eps, **options
):
    ranges = chunks(hidden.shape[0], w.shape[0], chunk_size)
    cost: Callable = functools.partial(_chunk, xp, options)
    if len(ranges) > 1:
        cost = _array.recomputed(cost, hidden)
    parts = [
        cost(rows_at(hidden, r), w, rows_at(target, r), bias, rows_at(where, r), weight,
             rows_at(row_scale, r))
        for r in ranges
    ]  # fmt: skip
    return tuple(joined(xp, list(part)) for part in zip(*parts))


def _chunk(xp, options, hidden, w, target, bias, where, weight, row_scale):
    z = logits(xp, hidden, w, bias)[0]
    z = xp.where(sound(xp, z, where), z, stop_gradient(z))
    return row_cross_entropy.reference(xp, z, target, where, weight, row_scale, **options)


def _vjp(xp, operands, outputs, cotangents, needs, *, chunk_size, filter_eps, **options):
    """Logits are computed again, chunk by chunk; every product is of a chunk."""
    hidden, w, *_ = operands
    totals: list[Array | None] = [None] * 7
    slices: dict[int, list[Array]] = {0: [], 6: []}
    for r in chunks(hidden.shape[0], w.shape[0], chunk_size):
        parts = _chunk_vjp(xp, operands, outputs, cotangents, needs, options, r)
        for i, part in enumerate(parts):
            if part is None:
                continue
            if i in slices:
                slices[i].append(part)
            else:
                before = totals[i]
                totals[i] = part if before is None else before + part
    for i, got in slices.items():
        if got:
            totals[i] = joined(xp, got)
    return tuple(totals)


def _chunk_vjp(xp, operands, outputs, cotangents, needs, options, r):
    """Gradients of one chunk: its rows of hidden and row_scale, its share of the others."""
    hidden, w, target, bias, where, weight, row_scale = operands
    z, h, v = logits(xp, rows_at(hidden, r), w, bias)
    cells = any(needs[i] for i in (0, 1, 3))
    dz, _, _, dweight, dscale = row_cross_entropy.vjp(
        xp,
        (z, *(rows_at(x, r) for x in (target, where)), weight, rows_at(row_scale, r)),
        tuple(rows_at(x, r) for x in outputs),
        tuple(rows_at(x, r) for x in cotangents),
        (cells, False, False, needs[5], needs[6]),
        **options,
    )
    if not cells:
        return None, None, None, None, None, dweight, dscale
    lse = rows_at(outputs[1], r)
    dz = select(xp, _sound(xp, lse)[:, None], dz)
    return (
        xp.matmul(dz, v) if needs[0] else None,
        xp.matmul(xp.matrix_transpose(dz), h) if needs[1] else None,
        None,
        xp.sum(dz, axis=0) if needs[3] else None,
        None,
        dweight,
        dscale,
    )


def _sound(xp: Any, lse: Array) -> Array:
    """Rows without NaN and +inf."""
    return xp.isfinite(lse) | (lse == -xp.inf)


def _jvp(xp, operands, outputs, tangents, *, chunk_size, filter_eps, **options):
    """Tangents of hidden, w and bias; others are not offered: forward mode runs the reference."""
    hidden, w, target, _, where, weight, row_scale = operands
    th, tw, _, tb, *_ = tangents
    parts = []
    for r in chunks(hidden.shape[0], w.shape[0], chunk_size):
        z, h, v = logits(xp, rows_at(hidden, r), w, operands[3])
        tz = xp.zeros_like(z)
        for a, b in ((rows_at(th, r), v), (h, tw)):
            if a is not None and b is not None:
                tz = tz + xp.matmul(a, xp.matrix_transpose(b))
        tz = tz if tb is None else tz + tb
        got = tuple(rows_at(x, r) for x in outputs)
        tz = select(xp, _sound(xp, got[1])[:, None], tz)
        rows = (z, rows_at(target, r), rows_at(where, r), weight, rows_at(row_scale, r))
        parts.append(row_cross_entropy.jvp(xp, rows, got, (tz, *(None,) * 4), **options))
    return tuple(joined(xp, list(part)) for part in zip(*parts))


def _why_not(facts: Facts) -> str | None:
    if facts.dtypes[2] not in ("int32", "int64"):
        return f"targets have dtype {facts.dtypes[2]}"
    if facts.wants[5] or facts.wants[6]:
        return "a gradient of class weights is wanted"
    return None


linear_cross_entropy = Primitive(
    "linear_cross_entropy",
    _reference,
    _vjp,
    _jvp,
    (False, False),
    (
        Kernel(
            "numba", "anymax._cpu.linear_cross_entropy", "forward", "backward", _why_not,
            fused="forward_backward",
        ),
    ),
    closed=True,
)  # fmt: skip
