"""Rows to threads: blocks of many rows, or chunks of one huge row; half precision widened on the
way.

Blocks and chunks follow from the shape alone, so results don't depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import types

from anymax._cpu import pool
from anymax._cpu.jit import const, jit
from anymax._cpu.simd import narrow, wide, widen

__all__ = ["CHUNK", "each_block", "each_chunk", "is_long"]

CHUNK = 65_536
_FEW, _LONG = 64, 2 * CHUNK
_HALVES = frozenset({np.dtype(np.int16), np.dtype(np.uint16)})

Array = np.ndarray[Any, Any]
Task = Callable[[Array, list[Array], list[Array]], Any]


def is_long(x: Array) -> bool:
    """Whether there are so few rows, and so long, that rows must be split to use all threads."""
    return x.shape[0] < _FEW and x.shape[1] >= _LONG


def each_block(task: Task, mask: Array, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
    """Call task(mask, inputs, outputs) on blocks of rows; inputs[0] is (rows, length)."""
    count, length = inputs[0].shape
    if not pool.worth_parts(count, length):  # slices cost more than the work on a small array
        _widened(task, mask, list(inputs), list(outputs))
        return

    def block(start: int, stop: int) -> None:
        kept = mask if mask.shape[0] == 1 else mask[start:stop]
        _widened(task, kept, [a[start:stop] for a in inputs], [a[start:stop] for a in outputs])

    pool.spread(block, count, length)


def each_chunk(
    task: Task, row: int, mask: Array, inputs: Sequence[Array], outputs: Sequence[Array]
) -> list[Any]:
    """Call task(mask, inputs, outputs) on chunks of one row, each (1, chunk); gives the results."""
    length = inputs[0].shape[1]
    kept = mask[row % mask.shape[0]][None]
    results: list[Any] = [None] * -(-length // CHUNK)

    def chunk(i: int) -> None:
        here = slice(i * CHUNK, (i + 1) * CHUNK)
        part = kept if kept.shape[1] == 1 else kept[:, here]
        ins, outs = (
            [a[row : row + 1, here] for a in inputs],
            [a[row : row + 1, here] for a in outputs],
        )
        results[i] = _widened(task, part, ins, outs)

    pool.run(chunk, len(results))
    return results


def _widened(task: Task, mask: Array, inputs: list[Array], outputs: list[Array]) -> Any:
    if not (_is_half(inputs[0]) or any(map(_is_half, outputs))):
        return task(mask, inputs, outputs)
    halves = [i for i, a in enumerate(outputs) if _is_half(a)]
    wide_outputs = list(outputs)
    for i in halves:
        wide_outputs[i] = np.empty(outputs[i].shape, np.float32)
    result = task(mask, [_float32(a) if _is_half(a) else a for a in inputs], wide_outputs)
    for i in halves:
        narrow_cells.code(outputs[i].dtype)(outputs[i].reshape(-1), wide_outputs[i].reshape(-1))
    return result


def _is_half(x: Array) -> bool:
    return x.dtype in _HALVES


def _float32(x: Array) -> Array:
    out = np.empty(x.shape, np.float32)
    widen_cells.code(x.dtype)(x.reshape(-1), out.reshape(-1))
    return out


@jit(args=lambda cell: (const(cell, 1), types.float32[::1]), half=True)
def widen_cells(x, y):
    wide()
    for j in range(x.size):
        y[j] = widen(x[j])


@jit(args=lambda cell: (cell[::1], const(types.float32, 1)), half=True)
def narrow_cells(y, x):
    wide()
    for j in range(x.size):
        y[j] = narrow(x[j], y[j])
