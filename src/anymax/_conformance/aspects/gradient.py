"""Gradients against differences of the oracle; masked cells exactly 0, NaN never spreads."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymax._conformance.calls import pullback
from anymax._conformance.cell import Cell
from anymax._conformance.compare import as_numpy, compare
from anymax._conformance.numeric import Slope, cotangent, slopes
from anymax._conformance.tolerances import gradient_tolerance
from anymax.testing import Case

_FEW = {"jax": ("float64",), "jax:jit": ("float32", "bfloat16")}  # a second a case
_truths: dict[tuple[str, str], dict[int | str, Slope]] = {}


def applies(cell: Cell) -> bool:
    return cell.column.autodiff and cell.dtype in _FEW.get(cell.column.name, (cell.dtype,))


def check(cell: Cell) -> float | None:
    return cell.each(lambda case: _one(cell, case), cell.cases(large=False))


def truth(cell: Cell, case: Case) -> dict[int | str, Slope]:
    """Slopes of the oracle, computed once for all columns."""
    key = (cell.entry.key, case.name)
    if key not in _truths:
        _truths[key] = slopes(cell.entry.oracle, case, cell.entry.silent)
    return _truths[key]


def _one(cell: Cell, case: Case) -> float:
    if not case.differentiated():
        return 0.0
    cotangents = [cotangent(y.shape, i) for i, y in enumerate(cell.expected(case))]
    with cell.session():
        grads = pullback(cell, case, cotangents)
    worst = 0.0
    for slot, slope in truth(cell, case).items():
        worst = max(worst, _judge(cell, case, slot, grads[slot], slope))
    return worst


def _judge(cell: Cell, case: Case, slot: int | str, grad: Any, slope: Slope) -> float:
    g = as_numpy(grad)
    what = f"gradient by {slot!r}"
    assert g.shape == slope.value.shape, f"{what} has shape {g.shape}, not {slope.value.shape}"
    stray = slope.inert & (g != 0)
    if stray.any() and slot not in cell.entry.cancelling:
        place = tuple(map(int, np.argwhere(stray)[0]))
        raise AssertionError(f"{what} at {place} is {g[place]}, but nothing depends on that cell")
    size = float(np.max(np.abs(slope.value), initial=0.0))
    t = gradient_tolerance(cell.entry.primitive, cell.dtype, size).times(case.condition)
    known = slope.known | (slope.inert & (slot in cell.entry.cancelling))
    return compare(
        np.where(known, g, 0.0), np.where(known, slope.value, 0.0),
        rtol=t.rtol, floor=t.floor, what=what,
    )  # fmt: skip
