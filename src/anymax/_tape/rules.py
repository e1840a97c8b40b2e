"""The table of derivatives, and the two steps that nearly every entry needs.

A rule is `rule(xp, out, *args, **kwargs)` on plain arrays: `xp` the library, `out` what the
function returned, then its arguments. It returns one entry per positional argument: a function from
the cotangent of `out` to the gradient of that argument, a list of such functions where the argument
is a list of arrays, or None where the derivative is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["RULES", "axes_of", "fit", "no_rule", "rule", "spread"]

Rule = Callable[..., tuple[Any, ...]]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the decorated function as the rule of `names`."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return register


def no_rule(name: str, detail: str = "") -> NoReturn:
    """Refuse to differentiate the function called `name`."""
    msg = (
        f"value_and_grad: {name}{detail} has no derivative on the tape. Write it with functions "
        "that have one, or wrap its argument in stop_gradient if it is meant to be a constant"
    )
    raise TypeError(msg)


def axes_of(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """Return `axis` as a sorted tuple of non-negative ints; None means all of them."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    return tuple(sorted(a % ndim for a in given))


def fit(xp: Any, g: Any, like: Any) -> Any:
    """Sum `g` over the axes along which `like` was broadcast, and give it the dtype of `like`."""
    shape = tuple(like.shape)
    if tuple(g.shape) != shape:
        extra = g.ndim - len(shape)
        stretched = (i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
        axes = (*range(extra), *stretched)
        g = xp.reshape(xp.sum(g, axis=axes, keepdims=True), shape)
    return g if g.dtype == like.dtype else xp.astype(g, like.dtype)


def spread(xp: Any, r: Any, x: Any, axis: int | tuple[int, ...] | None, keepdims: bool) -> Any:
    """Broadcast `r`, a reduction of `x`, back to the shape of `x`."""
    if not keepdims:
        reduced = axes_of(axis, x.ndim)
        r = xp.reshape(r, tuple(1 if i in reduced else n for i, n in enumerate(x.shape)))
    return xp.broadcast_to(r, x.shape)
