"""Weight functions of attention besides the exponential: a row of scores becomes weights, and its
slopes.

A kind is a few lines here; the loops over tiles, the masks and the gradients are those of softmax.
"""

from __future__ import annotations

from typing import Any

from .attend_lanes import (
    absolute,
    choose,
    constant,
    highest,
    load,
    size,
    spread,
    store,
    total,
    width,
)
from .attend_power import exp_below, log1p
from .jit import jit

__all__ = ["KINDS", "grade_map", "map_row"]

KINDS = {"softmax": 0, "sigmoid": 1, "softplus": 2, "relu": 3}

_piece = jit(cache=False, reassoc=False)


@_piece
def _sigmoid(x: Any) -> Any:
    """The sigmoid, its slope, and exp(-|x|)."""
    one = constant(x, 1.0)
    e = exp_below(constant(x, 0.0) - absolute(x))
    inverse = one / (one + e)
    low = e * inverse
    return choose(x, inverse, low), low * inverse, e


@_piece
def _weight(x: Any, kind: Any, power: Any) -> Any:
    """Weight of a score, and its slope."""
    if kind == 1:
        y, slope, _ = _sigmoid(x)
        return y, slope
    zero = constant(x, 0.0)
    above = highest(x, zero)
    if kind == 2:
        y, _, e = _sigmoid(x)
        return above + log1p(e), y
    slope = choose(zero - above, zero, constant(x, 1.0))
    y = above
    for n in range(2, power + 1):
        slope = constant(x, 1.0 * n) * y
        y = y * above
    return y, slope


@_piece
def map_row(x: Any, count: Any, kind: Any, shift: Any, power: Any, like: Any) -> Any:
    """x becomes its weights; gives their sum. A logit of -inf has weight 0."""
    more, sums = spread(shift, like), spread(0, like)
    for j in range(0, count * size(like), width(like) * size(like)):
        y, _ = _weight(load(x + j, like) + more, kind, power)
        store(x + j, y)
        sums = sums + y
    return total(sums)


@_piece
def grade_map(
    x: Any, dp: Any, count: Any, kind: Any, shift: Any, power: Any, delta: Any, rest: Any, like: Any
) -> None:
    """Logits become weights, and dp becomes slope * (dp - delta); both times `rest`."""
    more, off, part = spread(shift, like), spread(delta, like), spread(rest, like)
    for j in range(0, count * size(like), width(like) * size(like)):
        y, slope = _weight(load(x + j, like) + more, kind, power)
        store(x + j, y * part)
        store(dp + j, slope * part * (load(dp + j, like) - off))
