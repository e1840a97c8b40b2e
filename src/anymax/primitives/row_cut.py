r"""Which entries of a row a truncation keeps: the k largest, or the largest that hold a mass p.

Contract: ``f(x, where, parameter, axis=, kind=, value=, least=, scale=)`` gives a boolean array of
the shape of ``x``, True where ``x`` is kept; it has no derivative.  ``parameter`` is an array with
size 1 along ``axis`` or None, and then ``value`` a Python float in its place.

* ``top_k``: entries not below the k-th largest, so that all its ties stay;
* ``top_k_strict``: exactly k, of ties those that come first;
* ``top_p``: entries such that those before them, in stable descending order, hold less than p of
  the softmax of ``scale * x``; all of them for p >= 1.  At least ``least`` entries stay;
* ``min_p``: entries whose weight is at least a fraction of the largest, and at least ``least``.

Masked entries and entries of -inf are never kept; in a row with NaN or +inf all others are.
"""

from __future__ import annotations

import math
from typing import Any

from anymax._array import Array
from anymax._dispatch import Facts, Kernel, Primitive
from anymax.primitives._masked import kept, safe_max, select


def _reference(xp, x, where, parameter, *, axis, kind, value, least, scale):
    keep = kept(xp, x, where)
    bad = xp.any(keep & ~xp.isfinite(x), axis=axis, keepdims=True)
    if 0 in x.shape:
        return keep
    z = xp.where(keep & ~bad, x, xp.full_like(x, -xp.inf))
    a = value if parameter is None else parameter
    if kind == "min_p" and least == 1:
        return keep & (bad | _is_near(xp, z, a, axis, scale))
    rank = _unmerged(xp, _rank(xp, _merged(xp, z, axis)), x.shape, axis)
    if kind == "min_p":
        chosen = _is_near(xp, z, a, axis, scale) | (rank < float(least))
    elif kind == "top_p":
        first = _mass_count(xp, z, a, axis, scale)
        chosen = rank < select(xp, first > least, first, float(least))
        chosen = chosen | (xp.zeros_like(z) + a >= 1.0)
    else:
        chosen = rank < a
    if kind == "top_k":
        last = xp.min(xp.where(chosen, z, xp.full_like(z, xp.inf)), axis=axis, keepdims=True)
        chosen = z >= last
    return keep & (bad | chosen)


def _order(ndim: int, axis: tuple[int, ...]) -> tuple[int, ...]:
    return (*(a for a in range(ndim) if a not in axis), *axis)


def _merged(xp: Any, x: Array, axis: tuple[int, ...]) -> Array:
    """The axes moved to the end and made one."""
    if axis == (x.ndim - 1,):
        return x
    moved = xp.permute_dims(x, _order(x.ndim, axis))
    length = math.prod(x.shape[a] for a in axis)
    return xp.reshape(moved, (*moved.shape[: x.ndim - len(axis)], length))


def _unmerged(xp: Any, y: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Array:
    if axis == (len(shape) - 1,):
        return y
    order = _order(len(shape), axis)
    y = xp.reshape(y, tuple(shape[a] for a in order))
    return xp.permute_dims(y, tuple(order.index(a) for a in range(len(shape))))


def _rank(xp: Any, z: Array) -> Array:
    """The place of each entry in stable descending order, as a floating number."""
    order = xp.argsort(z, axis=-1, descending=True, stable=True)
    return xp.astype(xp.argsort(order, axis=-1, stable=True), z.dtype)


def _mass_count(xp: Any, z: Array, p: Any, axis: tuple[int, ...], scale: float) -> Array:
    """How many entries of each row, from the largest on, have less than the mass p before them."""
    live = z > -xp.inf
    m = safe_max(xp, z, live, axis)
    z = xp.where(live, (select(xp, live, z) - m) * scale, xp.full_like(z, -xp.inf))
    s = xp.exp(xp.sort(_merged(xp, z, axis), axis=-1, descending=True))
    before = xp.cumulative_sum(s, axis=-1) - s
    before = _unmerged(xp, before, z.shape, axis)
    whole = xp.sum(select(xp, live, xp.exp(z)), axis=axis, keepdims=True)
    return xp.sum(xp.astype(before < p * whole, z.dtype), axis=axis, keepdims=True)


def _is_near(xp: Any, z: Array, fraction: Any, axis: tuple[int, ...], scale: float) -> Array:
    """Whether scale * z is at least that of the largest, plus the logarithm of a fraction."""
    live = z > -xp.inf
    m = safe_max(xp, z, live, axis)
    a = xp.zeros_like(m) + fraction
    low = xp.where(a > 0, xp.log(select(xp, a > 0, a, 1.0)), xp.full_like(a, -xp.inf))
    return (select(xp, live, z) - m) * scale >= low


def _vjp(xp, operands, outputs, cotangents, needs, **options):
    return None, None, None


def _jvp(xp, operands, outputs, tangents, **options):
    return (xp.zeros_like(outputs[0]),)


def _why_not(facts: Facts) -> str | None:
    return None


row_cut = Primitive(
    "row_cut",
    _reference,
    _vjp,
    _jvp,
    (False,),
    (Kernel("numba", "anymax._cpu.row_cut", "forward", "backward", _why_not),),
)
