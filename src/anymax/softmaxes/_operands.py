"""Several arrays that meet elementwise: their library, dtype, common shape, and what is kept."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array


class Operands(NamedTuple):
    """Arrays in float32 or wider, and the dtype that the result is rounded to."""

    xp: Any
    dtype: Any
    arrays: tuple[Any, ...]

    def finish(self, y: Array) -> Array:
        """`y` in the dtype that the caller's arrays promote to."""
        return _array.cast(self.xp, y, self.dtype)


def operands(function: str, **arrays: Array | float | None) -> Operands:
    """Promote arrays to one floating dtype, halves to float32; None and numbers stay."""
    xp = _array.namespace(function, **arrays)
    promoted = _array.promote(xp, function, **arrays)
    dtype = next(x.dtype for x in promoted if x is not None and not _array.is_scalar(x))
    wide = tuple(x if _array.is_scalar(x) else _array.widen(xp, x) for x in promoted)
    if any(_array.library(x) == "tape" for x in wide if _is_array(x)):
        # A strict array on the left of an operator doesn't give way to one under the tape.
        wide = tuple(beside_tape(xp, x) if _is_array(x) else x for x in wide)
    return Operands(xp, dtype, wide)


def beside_tape(xp: Any, x: Array) -> Array:
    """`x` as an array of the tape if `xp` is the tape's; others need nothing (torch warns)."""
    return x if _array.library(x) in ("torch", "jax") else xp.asarray(x)


def _is_array(x: Any) -> bool:
    return x is not None and not _array.is_scalar(x)


def common_shape(function: str, **arrays: Array | float | None) -> tuple[int, ...]:
    """The shape that the arrays broadcast to; numbers and None broadcast to any."""
    shape: tuple[int, ...] = ()
    given: list[tuple[str, Any]] = [(name, x) for name, x in arrays.items() if _is_array(x)]
    for name, x in given:
        new = tuple(x.shape)
        rank = max(len(shape), len(new))
        a = (1,) * (rank - len(shape)) + shape
        b = (1,) * (rank - len(new)) + new
        for m, n in zip(a, b):
            if m != n and 1 not in (m, n) and m == m and n == n:
                said = ", ".join(f"{n} {_array.shape_text(y.shape)}" for n, y in given)
                raise ValueError(f"{function}: {name} does not broadcast with the rest: {said}")
        shape = tuple(n if m == 1 else m for m, n in zip(a, b))
    return shape


def spread(xp: Any, x: Array, shape: tuple[int, ...]) -> Array:
    """`x` broadcast to `shape`, itself when it has it already."""
    return x if tuple(x.shape) == shape else xp.broadcast_to(x, shape)


def along(xp: Any, x: Array, ndim: int, axis: int | tuple[int, ...] | None) -> Array:
    """A vector laid along `axis` of arrays with `ndim` axes; anything else as it is."""
    if x.ndim != 1 or not isinstance(axis, int) or ndim == 0:
        return x
    after = ndim - 1 - axis % ndim
    return xp.reshape(x, (*x.shape, *(1,) * after)) if after else x


def summed(xp: Any, where: Array | None, *terms: Array) -> tuple[Array, Array]:
    """The sum of logits and their perturbations where all take part, 0 elsewhere; and where.

    A term of -inf masks, so that no infinities meet.
    """
    keep = terms[0] != -xp.inf
    for x in terms[1:]:
        keep = keep & (x != -xp.inf)
    keep = keep if where is None else keep & where
    total = xp.where(keep, terms[0], xp.zeros_like(terms[0]))
    for x in terms[1:]:
        total = total + xp.where(keep, x, xp.zeros_like(x))
    return total, keep


def times(xp: Any, factor: Array | float, x: Array) -> Array:
    """``factor * x`` with 0 * inf = 0: a step of size 0 goes nowhere."""
    if _array.is_scalar(factor):
        return x * factor if factor else xp.zeros_like(x)
    still = (factor == 0) & xp.isinf(x)
    return factor * xp.where(still, xp.zeros_like(x), x)


def check_count(function: str, name: str, n: Any, least: int = 1) -> int:
    """`n` as an int, refused if it is smaller than `least`."""
    if not hasattr(n, "__index__") or isinstance(n, bool):
        raise TypeError(f"{function}: {name} is {n!r}; an integer fits")
    n = n.__index__()
    if n < least:
        raise ValueError(f"{function}: {name} is {n}; an integer of at least {least} fits")
    return n
