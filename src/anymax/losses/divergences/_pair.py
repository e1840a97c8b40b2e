"""Two distributions given by logits, and the divergences between them, row by row."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses._classes import class_axis, class_last
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives._masked import kept, select
from anymax.primitives.row_softmax import row_log_softmax
from anymax.softmaxes._operands import common_shape, operands, spread
from anymax.softmaxes._rows import positive


class Side(NamedTuple):
    """Log-probabilities (..., C), 0 in the place of -inf, and the classes that have any."""

    xp: Any
    logp: Array
    keep: Array

    def probabilities(self) -> Array:
        return select(self.xp, self.keep, self.xp.exp(self.logp))


class Pair(NamedTuple):
    """Two distributions over the same classes, and what the caller's arrays say of the rows."""

    xp: Any
    dtype: Any
    first: Side
    second: Side
    weight: Array | None
    temperature: Any

    def finish(self, loss: Array, reduction: str, *, squared: bool = False) -> Array:
        """The result of row losses, with `squared` times the square of the temperature.

        A row in which a distribution has no class at all costs 0 and leaves the mean.
        """
        xp = self.xp
        live = xp.any(self.first.keep, axis=-1) & xp.any(self.second.keep, axis=-1)
        if squared:
            loss = loss * (self.temperature * self.temperature)
        y = reduced(xp, loss, reduction, live=live, weight=self.weight)
        return _array.cast(xp, y, self.dtype)


def pair(
    function: str,
    *,
    axis: int,
    where: Array | None,
    weight: Array | None,
    reduction: str,
    temperature: float | Array = 1.0,
    **logits: Array,
) -> Pair:
    """Check, promote and normalise two arrays of logits, which broadcast against each other."""
    check_reduction(function, reduction)
    _array.namespace(function, **logits, where=where, weight=weight, temperature=temperature)
    _array.required(function, **logits)
    given = operands(function, **logits, weight=weight, temperature=temperature)
    xp, (a, b, weight, temperature) = given.xp, given.arrays
    first, second = logits
    shape = common_shape(function, **{first: a, second: b})
    axis = class_axis(function, axis, len(shape))
    _check_classes(function, axis - len(shape), **{first: a, second: b})
    _array.check_mask(function, "where", where, shape, first)
    rows = shape[:axis] + shape[axis + 1 :]
    check_weight(function, weight, rows)
    scale = _checked_temperature(xp, function, temperature, rows)
    if where is not None:
        where = class_last(xp, xp.broadcast_to(where, shape), axis)

    def side(x: Array) -> Side:
        x = class_last(xp, spread(xp, x, shape), axis)
        keep = kept(xp, x, where)
        if scale is None:
            t = temperature[..., None] if temperature.ndim else temperature
            x = select(xp, keep, x) / t
        y = row_log_softmax(x, keep, axis=(x.ndim - 1,), scale=1.0 if scale is None else scale)
        return Side(xp, select(xp, keep, y), keep)

    return Pair(xp, given.dtype, side(a), side(b), weight, temperature)


def check_weight(function: str, weight: Any, rows: tuple[int, ...]) -> None:
    if weight is None:
        return
    if _array.is_scalar(weight):
        raise TypeError(f"{function}: weight is {weight!r}; an array fits")
    _array.check_broadcast(function, "weight", weight, rows, "the unreduced loss")


def _check_classes(function: str, axis: int, **logits: Array) -> None:
    sizes = [x.shape[axis] if -axis <= x.ndim else 1 for x in logits.values()]
    if sizes[0] != sizes[1] and sizes[0] == sizes[0] and sizes[1] == sizes[1]:
        first, second = logits
        raise ValueError(
            f"{function}: {first} has {sizes[0]} classes but {second} has {sizes[1]}; "
            "they must match"
        )


def _checked_temperature(xp: Any, function: str, temperature: Any, rows: tuple) -> float | None:
    """One over a number; None for an array, which has the shape of the unreduced loss."""
    if temperature is None or _array.is_scalar(temperature):
        return 1.0 / positive(function, "temperature", temperature)
    _array.check_broadcast(function, "temperature", temperature, rows, "the unreduced loss")
    if _array.values_known(temperature):
        good = xp.all(xp.isfinite(temperature) & (temperature > 0))
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{function}: temperature must be positive and finite everywhere")
    return None


def kl(p: Side, q: Side) -> Array:
    """KL(p || q) of each row (...): +inf where p has a class that q has not."""
    xp = p.xp
    ratio = select(xp, p.keep & q.keep, p.logp - q.logp)
    return with_infinite(xp, xp.sum(p.probabilities() * ratio, axis=-1), p.keep & ~q.keep)


def with_infinite(xp: Any, loss: Array, hopeless: Array) -> Array:
    """Row losses (...), +inf where some class (..., C) is `hopeless`."""
    some = xp.any(hopeless, axis=-1)
    return loss + select(xp, some, xp.full_like(loss, xp.inf))


def kl_to_mixture(p: Side, q: Side, share: float) -> Array:
    """KL(p || share p + (1 - share) q) of each row (...), for a share in (0, 1).

    With d = log q - log p a class costs -log(share + (1 - share) exp(d)), through expm1 and log1p:
    no digit is lost where the two agree, and nothing overflows where they don't.
    """
    xp, both = p.xp, p.keep & q.keep
    d = select(xp, both, q.logp - p.logp)
    up = d > 0
    z = xp.where(up, -d, d)
    c = xp.where(up, xp.full_like(d, share), xp.full_like(d, 1.0 - share))
    log_mixed = select(xp, up, d) + xp.log1p(c * xp.expm1(z))
    alone = -xp.log(xp.full_like(d, share))  # the mixture is share * p there
    return xp.sum(p.probabilities() * xp.where(both, -log_mixed, alone), axis=-1)
