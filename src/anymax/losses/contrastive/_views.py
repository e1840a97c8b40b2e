"""Vectors that are compared in pairs: checked, promoted, normalised; and rows of such losses."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array, _shapes
from anymax._array import Array
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives._masked import select
from anymax.primitives.pairwise_logsumexp import pairwise_logsumexp
from anymax.primitives.row_softmax import row_logsumexp
from anymax.softmaxes._operands import common_shape, operands, spread
from anymax.softmaxes._rows import positive


class Views(NamedTuple):
    """Arrays in float32 or wider, and what the finished loss needs."""

    function: str
    xp: Any
    dtype: Any
    arrays: tuple[Any, ...]
    weight: Array | None

    def finish(self, loss: Array, reduction: str, live: Array | None = None) -> Array:
        """Losses of rows, weighted and reduced, in the dtype of the caller's arrays."""
        xp, weight = self.xp, self.weight
        if weight is not None:
            _array.check_broadcast(
                self.function, "weight", weight, loss.shape, "the unreduced loss"
            )
        y = reduced(xp, loss, reduction, live=live, weight=weight)
        return _array.cast(xp, y, self.dtype)


def views(
    function: str,
    shapes: str,
    *,
    reduction: str = "mean",
    where: Array | None = None,
    weight: Array | None = None,
    others: dict[str, Array | None] | None = None,
    **arrays: Array | float | None,
) -> Views:
    """Check and promote the arguments of a contrastive loss.

    `shapes` names the axes of some of `arrays`; `others` are integers, checked with them.
    """
    check_reduction(function, reduction)
    _array.namespace(function, **arrays, **(others or {}), where=where, weight=weight)
    named = [name for name, _ in _shapes.parse(f"{shapes} -> ").arguments]
    everything = {**arrays, **(others or {})}
    _array.required(function, **{name: everything[name] for name in named})
    _shapes.check(function, f"{shapes} -> ", everything)
    if weight is not None and _array.is_scalar(weight):
        raise TypeError(f"{function}: weight is {weight!r}; an array fits")
    given = operands(function, **arrays, weight=weight)
    return Views(function, given.xp, given.dtype, given.arrays[:-1], given.arrays[-1])


def normalized(xp: Any, x: Array) -> Array:
    """Rows of length one; a zero row stays zero, with zero gradient; NaN or inf make NaN.

    The largest entry is divided out first, so that no square over- or underflows.
    """
    if not _array.size(x.shape[-1:]):
        return x
    bad = ~xp.all(xp.isfinite(x), axis=-1, keepdims=True)
    x = xp.where(bad, xp.zeros_like(x), x)
    m = xp.max(xp.abs(_array.stop_gradient(x)), axis=-1, keepdims=True)
    some = m != 0
    u = x / select(xp, some, m, 1.0)
    square = xp.sum(u * u, axis=-1, keepdims=True)
    y = u / xp.sqrt(select(xp, some, square, 1.0))
    return xp.where(some, y, xp.where(bad, xp.full_like(y, xp.nan), xp.zeros_like(y)))


def batch_of(function: str, **arrays: Array) -> tuple[int, ...]:
    """The batch axes that matrices broadcast to."""
    return common_shape(function, **{name: Shape(x.shape[:-2]) for name, x in arrays.items()})


class Shape(NamedTuple):
    """A shape in the clothes of an array."""

    shape: tuple


def mask_of(xp: Any, function: str, where: Array | None, shape: tuple) -> Array | None:
    """A mask of logits (..., M, N), with at least two axes."""
    _array.check_mask(function, "where", where, shape, "the logits")
    if where is None:
        return None
    where = xp.asarray(where)  # under the tape, like everything that it meets
    if where.ndim >= 2:
        return where
    return xp.reshape(where, (1,) * (2 - where.ndim) + tuple(where.shape))


def heat(
    v: Views,
    function: str,
    temperature: Any,
    shape: tuple,
    where: Array | None = None,
    name: str = "temperature",
) -> Any:
    """A temperature as a positive float, or as an array (..., 1) to divide rows of `shape` by.

    It is 1 for rows of which a mask of logits leaves nothing.
    """
    if temperature is None:
        raise TypeError(f"{function}: {name} is None; a positive number or an array fits")
    if _array.is_scalar(temperature):
        return positive(function, name, temperature)
    _array.check_broadcast(function, name, temperature, shape, "the unreduced loss")
    xp = v.xp
    if where is not None:
        live = xp.any(where, axis=-1)
        lead = common_shape(function, where=live, temperature=temperature)
        temperature = select(xp, live, spread(xp, temperature, lead), 1.0)
    if _array.values_known(temperature):
        good = xp.all((temperature > 0) & (temperature < xp.inf) | xp.isnan(temperature))
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{function}: {name} must be positive and finite everywhere")
    return temperature[..., None]


def over(x: Array, temperature: Any) -> Array:
    """Logits of rows divided by a temperature, a number or an array (..., 1)."""
    return x / (temperature if _array.is_scalar(temperature) else temperature[..., 0])


def others(
    a: Array,
    b: Array,
    where: Array | None,
    temperature: Any,
    row_group: Array | None = None,
    column_group: Array | None = None,
    *,
    groups: str = "any",
    diagonal: bool = True,
) -> tuple[Array, Array]:
    """The primitive `pairwise_logsumexp` at a temperature, a number or an array (..., 1)."""
    scale = 1.0
    if _array.is_scalar(temperature):
        scale = 1.0 / temperature
    else:
        a = a / temperature
    return pairwise_logsumexp(
        a, b, where, row_group, column_group, scale=scale, groups=groups, diagonal=diagonal
    )


def allowed(xp: Any, where: Array, column: Array) -> Array:
    """Whether `where` (..., n, N) allows one column of each row: (..., n)."""
    if where.shape[-1] == 1:
        return where[..., 0]
    index = _array.arange(xp, where.shape[-1], column, dtype=column.dtype)
    return xp.any(where & (index == column[..., None]), axis=-1)


def dots(xp: Any, a: Array, b: Array, keep: Array | None = None) -> Array:
    """Products of matching rows; 0 without a trace of the rows where `keep` is False."""
    if keep is not None:
        a, b = (select(xp, keep[..., None], x) for x in (a, b))
    return xp.sum(a * b, axis=-1)


def added(xp: Any, *lse: Array) -> Array:
    """Logarithm of the sum of exponentials that are given by their logarithms, -inf for none."""
    shape = common_shape("logsumexp", **{f"part {i}": x for i, x in enumerate(lse)})
    x = xp.stack([spread(xp, x, shape) for x in lse], axis=-1)
    return row_logsumexp(x, None, axis=(x.ndim - 1,), scale=1.0)


def softplus(xp: Any, x: Array) -> Array:
    """``log(1 + exp(x))`` to full relative precision; -inf gives 0, and gradient 0.

    The sign is split with `where`: `abs` and `maximum` have no second derivative at 0.
    """
    some = x != -xp.inf
    x = select(xp, some, x)
    high = x >= 0
    tail = xp.log1p(xp.exp(xp.where(high, -x, x)))
    return select(xp, some, select(xp, high, x) + tail)


def surprise(xp: Any, others: Array, own: Array, keep: Array | None = None) -> tuple[Array, Array]:
    """Cross entropy of a positive against others, and whether its row has anything.

    Parameters
    ----------
    others : array
        Logsumexp of the negatives, -inf for none.
    own : array
        Logit of the positive.
    keep : boolean array, optional
        Whether the positive takes part: if not, it costs +inf beside any negative.
    """
    loss = softplus(xp, others - own)
    if keep is None:
        return loss, xp.ones_like(loss, dtype=xp.bool)
    negatives = others != -xp.inf
    loss = xp.where(keep, loss, xp.full_like(loss, xp.inf))
    return select(xp, keep | negatives, loss), keep | negatives
