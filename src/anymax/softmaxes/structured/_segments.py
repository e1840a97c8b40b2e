"""Sums over the members of each group, in plain array code that has no scatter.

Members are sorted by group once; a segmented scan then adds them up in log2(V) passes.  Differences
of one running sum would be cheaper and lose all digits of small groups beside large ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.primitives._masked import nonzero, select
from anymax.primitives.row_softmax import row_log_softmax, row_logsumexp
from anymax.softmaxes.structured._gather import columns


class Groups(NamedTuple):
    """Which of `number` groups each of V members belongs to.

    `order` sorts the members; group k takes the sorted places starts[k] to ends[k]; `of_sorted` is
    the group of each sorted member.  Dask sorts nothing lazily: there, `hot` (number, V) is the
    mask of members instead, and the others are None.
    """

    member_of: Array
    number: int
    order: Array
    of_sorted: Array
    starts: Array
    ends: Array
    hot: Array | None


def groups(xp: Any, member_of: Array, number: int) -> Groups:
    """The groups of integers (V,) below `number`."""
    member_of = _array.as_index(xp, member_of)
    names = _array.arange(xp, number, member_of, dtype=member_of.dtype)
    if _array.library(member_of) == "dask":
        hot = member_of[None, :] == names[:, None]
        return Groups(member_of, number, None, None, None, None, hot)
    order = xp.argsort(member_of, stable=True)
    of_sorted = xp.take(member_of, order, axis=0)
    starts = xp.searchsorted(of_sorted, names, side="left")
    ends = xp.searchsorted(of_sorted, names, side="right")
    return Groups(member_of, number, order, of_sorted, starts, ends, None)


def sizes(xp: Any, g: Groups, where: Array | None) -> Array:
    """Number of members of each group (number,), of those that `where` (V,) allows."""
    if g.hot is not None:
        hot = g.hot if where is None else g.hot & where
        return xp.sum(xp.astype(hot, g.member_of.dtype), axis=-1)
    if where is None or not g.order.shape[0]:
        return g.ends - g.starts
    kept = xp.astype(xp.take(where, g.order, axis=0), g.member_of.dtype)
    running = xp.cumulative_sum(kept, axis=-1, dtype=kept.dtype)  # of whole numbers: exact
    running = xp.concat([xp.zeros_like(running[:1]), running], axis=-1)
    return xp.take(running, g.ends, axis=0) - xp.take(running, g.starts, axis=0)


def group_logsumexp(xp: Any, g: Groups, x: Array, where: Array | None) -> Array:
    """Logsumexp of x (..., V) over each group (..., number); -inf for a group without a term."""
    if g.hot is not None:
        hot = g.hot if where is None else g.hot & where
        wide = x[..., None, :]
        return row_logsumexp(wide, hot, axis=(wide.ndim - 1,), scale=1.0)
    keep = x != -xp.inf if where is None else (x != -xp.inf) & where
    top, s = _shifted_sums(xp, g, x, keep)
    lse = select(xp, s != 0, xp.log(nonzero(xp, s)) + top, -xp.inf)
    return xp.where(top == xp.inf, top, lse)


def group_log_softmax(xp: Any, g: Groups, x: Array) -> Array:
    """Log-softmax of x (..., V) within each group; -inf is masked."""
    if g.hot is not None:
        wide = xp.where(g.hot, x[..., None, :], xp.full_like(x[..., None, :], -xp.inf))
        y = row_log_softmax(wide, None, axis=(wide.ndim - 1,), scale=1.0)
        return xp.sum(xp.where(g.hot, y, xp.zeros_like(y)), axis=-2)
    keep = x != -xp.inf
    top, s = (columns(xp, y, g.member_of) for y in _shifted_sums(xp, g, x, keep))
    top = xp.where(top == xp.inf, xp.full_like(top, xp.nan), top)
    return select(xp, keep, select(xp, keep, x) - top - xp.log(nonzero(xp, s)), -xp.inf)


def _shifted_sums(xp: Any, g: Groups, x: Array, keep: Array) -> tuple[Array, Array]:
    """Each group's maximum m, a constant, and its sum of exp(x - m), both (..., number)."""
    if not x.shape[-1]:
        none = xp.zeros((*x.shape[:-1], g.number), dtype=x.dtype, device=_array.device(x))
        return none, none
    x, keep = columns(xp, select(xp, keep, x), g.order), columns(xp, keep, g.order)
    top = _scan(xp, g, select(xp, keep, _array.stop_gradient(x), -xp.inf), xp.maximum, -xp.inf)
    top = _last(xp, g, top, -xp.inf)
    top = select(xp, top != -xp.inf, top)
    shift = columns(xp, top, g.of_sorted)
    shift = xp.where(shift == xp.inf, xp.full_like(shift, xp.nan), shift)  # inf - inf would warn
    e = select(xp, keep, xp.exp(select(xp, keep, x - shift)))
    return top, _last(xp, g, _scan(xp, g, e, lambda a, b: a + b, 0.0), 0.0)


def _scan(xp: Any, g: Groups, y: Array, combine: Any, neutral: float) -> Array:
    """Running combination of the sorted members (..., V), begun anew in each group."""
    n, step = y.shape[-1], 1
    while step < n:
        same = g.of_sorted[step:] == g.of_sorted[:-step]
        earlier = select(xp, same, y[..., :-step], neutral)
        y = xp.concat([y[..., :step], combine(y[..., step:], earlier)], axis=-1)
        step *= 2
    return y


def _last(xp: Any, g: Groups, y: Array, neutral: float) -> Array:
    """The element of each group's last member (..., number)."""
    some = g.ends > g.starts
    place = xp.where(some, g.ends - 1, xp.zeros_like(g.ends))
    return select(xp, some, columns(xp, y, place), neutral)
