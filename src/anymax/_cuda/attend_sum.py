"""Gradients of operands that were broadcast: sums over the axes that they repeat along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import arrays
from .attend_plan import KINDS
from .attend_specs import ROWS_THREADS, SUM
from .launch import Launcher

Array = Any
MAX_GROUPS = 3
# From this many terms on, a block sums for one element instead of a thread.
TERMS_FOR_A_BLOCK = 256


def unbroadcast(
    full: Array, full_shape: Sequence[int], operand: Array, launcher: Launcher, trailing: int = 0
) -> Array:
    """Return the gradient of `operand`, in its shape and dtype.

    Parameters
    ----------
    full : array
        Dense gradient of shape `full_shape`.
    operand : array
        Broadcast to `full_shape`, once `trailing` axes (always summed) are put behind its own.
    """
    name = arrays.dtype_name(operand)
    out = arrays.empty(tuple(operand.shape), name, operand)
    shape = tuple(operand.shape) + (1,) * trailing
    kept, summed = _split(full_shape, (1,) * (len(full_shape) - len(shape)) + shape)
    elements, terms = _product(kept), _product(summed)
    if elements == 0:
        return out
    by_block = terms >= TERMS_FOR_A_BLOCK
    spec = SUM[arrays.dtype_name(full), by_block]
    blocks = elements if by_block else -(-elements // ROWS_THREADS)
    args = (full, out, KINDS[name], *_columns(kept), *_columns(summed))
    launcher.launch(spec, (blocks,), (spec.block,), spec.shared, args)
    return out


def _split(
    full: Sequence[int], target: Sequence[int]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(size, stride) of the kept and of the summed axes, neighbours of one sort joined."""
    groups: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    stride, last = 1, None
    for size, wanted in zip(reversed(full), reversed(target)):
        if size == 1:
            continue
        sort = int(wanted == 1)
        if sort == last:
            before, step = groups[sort].pop()
            groups[sort].append((before * size, step))
        else:
            groups[sort].append((size, stride))
        stride *= size
        last = sort
    for group in groups:
        if len(group) > MAX_GROUPS:
            raise NotImplementedError(
                f"attend: an operand is broadcast along more than {MAX_GROUPS} separate axes"
            )
        group.reverse()
    return groups


def _columns(group: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    filled = [(1, 0)] * (MAX_GROUPS - len(group)) + list(group)
    return (*(size for size, _ in filled), *(stride for _, stride in filled))


def _product(group: Sequence[tuple[int, int]]) -> int:
    total = 1
    for size, _ in group:
        total *= size
    return total
