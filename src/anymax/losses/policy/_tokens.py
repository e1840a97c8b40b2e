"""What policy losses share: arrays per token, constants, aggregation, ratios of probabilities."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses._elements import Elements, elements
from anymax.losses._reduction import REDUCTIONS, check_reduction, mean_over, reduced
from anymax.primitives._masked import select

TOKEN_REDUCTIONS = (
    *REDUCTIONS, "seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean",
)  # fmt: skip


class Tokens(NamedTuple):
    """Arrays (..., T) in float32 or wider, 0 where no token takes part; `live` (..., T)."""

    xp: Any
    given: Elements
    arrays: tuple[Any, ...]
    live: Array
    reduction: str
    length: float | None
    empty: str

    def finish(self, loss: Array) -> Array:
        """The aggregated loss in the dtype of the caller's arrays."""
        xp = self.xp
        if self.reduction in REDUCTIONS:
            y = reduced(xp, loss, self.reduction, live=self.live)
        else:
            y = self._by_sequence(loss)
        return _array.cast(xp, y, self.given.dtype)

    def _by_sequence(self, loss: Array) -> Array:
        xp = self.xp
        total = xp.sum(select(xp, self.live, loss), axis=-1)
        count = xp.sum(xp.astype(self.live, total.dtype), axis=-1)
        if self.reduction == "seq-mean-token-mean":
            total = mean_over(xp, total, count)
        elif self.reduction == "seq-mean-token-sum-norm":
            total = total / (max(loss.shape[-1], 1) if self.length is None else self.length)
        return reduced(xp, total, "mean", live=count != 0 if self.empty == "drop" else None)

    def mean(self, x: Array) -> Array:
        """Mean (..., 1) of each sequence's tokens, 0 where there are none."""
        xp = self.xp
        total = xp.sum(select(xp, self.live, x), axis=-1, keepdims=True)
        return mean_over(xp, total, xp.sum(xp.astype(self.live, x.dtype), axis=-1, keepdims=True))


def tokens(
    function: str,
    *,
    where: Array | None = None,
    reduction: str = "mean",
    length: float | None = None,
    empty: str = "drop",
    **arrays: Array,
) -> Tokens:
    """Check and promote arrays per token; all but the first are constants.

    The first has the shape of the unreduced loss, (..., T).  The others broadcast to it; an array
    with an axis less has one number a sequence.
    """
    check_reduction(function, reduction, TOKEN_REDUCTIONS)
    _check_aggregation(function, reduction, length, empty)
    _array.required(function, **arrays)
    (first, x), *others = arrays.items()
    if not hasattr(x, "ndim") or not x.ndim:
        raise ValueError(f"{function}: {first} has 0 axes; at least 1 is needed, the tokens")
    _array.namespace(function, **arrays, where=where)
    wide = {first: x}
    for name, y in others:
        if y.ndim == x.ndim - 1:
            y = y[..., None]
        _array.check_broadcast(function, name, y, x.shape, first)
        wide[name] = _array.stop_gradient(y)
    given = elements(function, where=where, **wide)
    xp, live = given.xp, given.where
    if live is None:
        live = xp.ones_like(given.arrays[0]) == 1
    return Tokens(xp, given, given.arrays, live, reduction, length, empty)


def _check_aggregation(function: str, reduction: str, length: Any, empty: str) -> None:
    if empty not in ("drop", "keep"):
        raise ValueError(f"{function}: empty is {empty!r}; 'drop' or 'keep' fits")
    if length is None:
        return
    if reduction != "seq-mean-token-sum-norm":
        raise ValueError(
            f"{function}: length is given, but reduction is {reduction!r}; "
            "only 'seq-mean-token-sum-norm' divides by it"
        )
    if not length > 0:
        raise ValueError(f"{function}: length is {length}; a positive number fits")


def scaled(xp: Any, factor: Array, x: Array) -> Array:
    """``factor * x`` with 0 * inf = 0, in value and gradient: a token of no advantage costs 0."""
    still = (factor == 0) & ~xp.isnan(x)
    return select(xp, ~still, factor * select(xp, ~still, x))


def log_ratio(function: str, case: Tokens, logp: Array, old_logp: Array, ratio: str) -> Array:
    """Logarithm of the ratio of probabilities, of each token or, (..., 1), of each sequence."""
    if ratio not in ("token", "sequence"):
        raise ValueError(f"{function}: ratio is {ratio!r}; 'token' or 'sequence' fits")
    d = logp - old_logp
    return d if ratio == "token" else case.mean(d)


def clipped(xp: Any, x: Array, lower: Any, upper: Any) -> Array:
    """`x` within bounds, which are arrays or numbers; no gradient beyond them, NaN stays."""
    lower, upper = (xp.zeros_like(x) + bound for bound in (lower, upper))
    low, high = x < lower, x > upper
    inside = select(xp, ~(low | high), x)
    return xp.where(low, lower, xp.where(high, upper, inside))


def logarithm(x: float) -> float:
    """log(x), -inf from 0 down: as a bound it binds nothing."""
    return math.log(x) if x > 0 else -math.inf


def check_bound(function: str, name: str, value: Any, least: float = 0.0) -> float:
    """`value` as a float of at least `least`."""
    if isinstance(value, str) or not float(value) >= least:
        raise ValueError(f"{function}: {name} is {value!r}; a number of at least {least:g} fits")
    return float(value)
