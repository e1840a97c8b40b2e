"""Logits of several levels of classes, coarse to fine, and labels on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anymax import _array
from anymax._array import Array


def check_levels(function: str, name: str, given: Any, num_levels: int | None = None) -> list:
    """`given` as a list with an entry for each level."""
    if not isinstance(given, (tuple, list)):
        raise TypeError(
            f"{function}: {name} is a {type(given).__name__}; a sequence of arrays fits"
        )
    if num_levels is None and not given:
        raise ValueError(f"{function}: {name} is empty; an array for each level is needed")
    if num_levels is not None and len(given) != num_levels:
        raise ValueError(
            f"{function}: {name} has {len(given)} entries; one for each of the {num_levels} levels "
            "fits"
        )
    return list(given)


def check_logits(function: str, logits: Sequence[Array]) -> int:
    """The number of examples, after all levels were found to have as many."""
    for h, x in enumerate(logits):
        if x.ndim != 2 or x.shape[0] != logits[0].shape[0]:
            said = ", ".join(_array.shape_text(y.shape) for y in logits)
            raise ValueError(
                f"{function}: logits[{h}] does not fit; (n, C) for each level is needed, with the "
                f"same n. Shapes: {said}"
            )
    return logits[0].shape[0]


def check_integers(function: str, name: str, x: Array, shape: tuple, what: str) -> None:
    if not _array.is_integer(x):
        raise TypeError(
            f"{function}: {name} has dtype {_array.dtype_name(x)}; an integer dtype fits"
        )
    if tuple(x.shape) != tuple(shape):
        raise ValueError(
            f"{function}: {name} has shape {_array.shape_text(x.shape)}; {what}, "
            f"{_array.shape_text(shape)}, fits"
        )


def check_level(xp: Any, function: str, level: Array, num_levels: int) -> None:
    """Complain about levels that there aren't, where values can be looked at."""
    if not _array.values_known(level) or 0 in level.shape:
        return
    low, high = xp.min(level), xp.max(level)
    if _array.values_known(low, high) and (int(low) < 0 or int(high) >= num_levels):
        wrong = int(low) if int(low) < 0 else int(high)
        raise IndexError(
            f"{function}: level holds {wrong}, but there are {num_levels} levels; "
            f"0 to {num_levels - 1} fit"
        )


def promoted(
    function: str, heads: list, weights: list, target: Array, level: Array | None
) -> tuple[Any, list, list]:
    """Logits and weights in one dtype, in their library."""
    named = {f"logits[{h}]": x for h, x in enumerate(heads)}
    _array.required(function, **named, target=target)
    given = named | {f"weight[{h}]": w for h, w in enumerate(weights)}
    xp = _array.namespace(function, **given, target=target, level=level)
    both = _array.promote(xp, function, **given)
    return xp, both[: len(heads)], both[len(heads) :]
