"""Sparsemax, entmax, normmax, budgets and soft top-k along rows; see the primitive row_threshold.

Rows go to the threads in blocks.  Few huge rows are split instead: chunks are looked through and
written by all threads, and what can matter is brought together for one of them to solve.
"""

from __future__ import annotations

from typing import Any

from anymax._cpu.arrays import borrow, empty, kept_rows, put_rows, room_for_rows, take_rows
from anymax._cpu.blocks import each_block, is_long
from anymax._cpu.row_threshold_backward import backward
from anymax._cpu.row_threshold_kinds import KINDS, parameters
from anymax._cpu.row_threshold_long import write_long
from anymax._cpu.row_threshold_rows import threshold_rows

__all__ = ["backward", "forward"]


def forward(
    x: Any, where: Any, parameter: Any, /, *, axis: Any, kind: str, value: float, scale: float
) -> Any:
    """Weights of rows with a threshold; see the primitive row_threshold."""
    out = empty(x.shape, None, x)
    source, target = borrow(x), borrow(out)
    if source.size == 0:
        return out
    flat, w = take_rows(source, axis), kept_rows(where, source.shape, axis)
    a = parameters(parameter, value, source.shape, axis, flat.shape[0])
    y, code = room_for_rows(target, axis), KINDS[kind]
    if is_long(flat):
        for r in range(flat.shape[0]):
            write_long(flat, w, y, r, float(a[r]), code, scale)
    else:

        def rows(w: Any, a: Any, b: Any) -> None:
            threshold_rows.code(a[0].dtype)(a[0], w, a[1], b[0], code, scale)

        each_block(rows, w, [flat, a], [y])
    put_rows(y, target, axis)
    return out
