"""Sums over the members of groups that integers name, for as many groups as there happen to be.

Members are sorted by their groups once; each sum is a segmented scan over them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses._reduction import mean_over
from anymax.losses.policy._scan import backward_scan
from anymax.primitives._masked import select


class Groups(NamedTuple):
    """Who shares a group with whom, among N members.

    `order` sorts the members, in each group by their place, and `back` undoes it; `together` says
    whether a sorted member's successor is of its group, and `start` where its group begins.  Dask
    sorts nothing lazily: there `same` (N, N) says who belongs together, and the others are None.
    """

    xp: Any
    order: Any
    back: Any
    together: Any
    start: Any
    same: Any

    def total(self, x: Array) -> Array:
        """For each member the sum of `x` (N,) over its group."""
        xp = self.xp
        if self.same is not None:
            return xp.sum(select(xp, self.same, xp.broadcast_to(x, self.same.shape)), axis=-1)
        if not x.shape[0]:
            return x * 1
        y = backward_scan(xp, xp.take(x, self.order, axis=0), xp.astype(self.together, x.dtype))
        return xp.take(xp.take(y, self.start, axis=0), self.back, axis=0)

    def backward(self, x: Array, c: Any) -> Array:
        """``y = x + c * (y of the next member of the group)`` for each member."""
        xp = self.xp
        if self.same is not None:
            return self._dense_backward(x, c)
        if not x.shape[0]:
            return x * 1.0
        y = backward_scan(xp, xp.take(x, self.order, axis=0), xp.astype(self.together, x.dtype) * c)
        return xp.take(y, self.back, axis=0)

    def _dense_backward(self, x: Array, c: Any) -> Array:
        xp = self.xp
        place = _array.arange(xp, x.shape[0], x)
        later = self.same & (place[None, :] >= place[:, None])
        ahead = xp.cumulative_sum(xp.astype(later, x.dtype), axis=-1) - 1.0
        power = select(xp, later, xp.pow(xp.zeros_like(ahead) + c, select(xp, later, ahead)))
        live = power != 0
        x = xp.broadcast_to(x, power.shape)
        return xp.sum(select(xp, live, power * select(xp, live, x)), axis=-1)

    def first(self, keep: Array) -> Array:
        """The first member that `keep` (N,) allows of each group, as a mask (N,)."""
        xp = self.xp
        one = xp.astype(keep, xp.float32)
        before = self.total(one) - self.backward(one, 1.0)
        return keep & (before == 0)


def groups(function: str, xp: Any, **keys: Array) -> Groups:
    """The groups of members (N,) that agree in all keys, integers (N,)."""
    for name, key in keys.items():
        if _array.is_scalar(key) or not _array.is_integer(key):
            kind = type(key).__name__ if _array.is_scalar(key) else _array.dtype_name(key)
            raise TypeError(f"{function}: {name} is {kind}; an integer array fits")
    named = [_array.as_index(xp, key) for key in keys.values()]
    if _array.library(named[0]) == "dask":
        same = named[0][:, None] == named[0][None, :]
        for key in named[1:]:
            same = same & (key[:, None] == key[None, :])
        return Groups(xp, None, None, None, None, same)
    order = _array.arange(xp, named[0].shape[0], named[0])
    for key in reversed(named):
        order = xp.take(order, xp.argsort(xp.take(key, order, axis=0), stable=True), axis=0)
    if not order.shape[0]:
        return Groups(xp, order, order, order != order, order, None)
    differs = xp.zeros_like(order[1:]) != 0
    for key in named:
        key = xp.take(key, order, axis=0)
        differs = differs | (key[1:] != key[:-1])
    end = xp.ones_like(order[:1]) == 1
    number = xp.cumulative_sum(xp.astype(xp.concat([end, differs]), order.dtype), axis=0)
    start = xp.searchsorted(number, number, side="left")
    together = xp.concat([~differs, ~end])
    return Groups(xp, order, xp.argsort(order, stable=True), together, start, None)


def centred(members: Groups, x: Array, counted: Array, singleton: str) -> tuple[Array, Array]:
    """Deviations (N,) from the mean of each group's counted members, and standard deviations (N,).

    In a group of one counted member the mean is 0 with ``singleton="raw"``, and the standard
    deviation 1.  The mean is corrected once, so that equal numbers deviate by exactly 0.
    """
    xp = members.xp
    n = members.total(xp.astype(counted, x.dtype))
    many = n != 1
    for _ in range(2):
        mean = mean_over(xp, members.total(select(xp, counted, x)), n)
        x = x - (select(xp, many, mean) if singleton == "raw" else mean)
    square = members.total(select(xp, counted & many, x * x))
    variance = square / select(xp, n > 1, n - 1.0, 1.0)
    some = variance != 0
    std = select(xp, some, xp.sqrt(select(xp, some, variance, 1.0)))
    return x, select(xp, many, std, 1.0)
