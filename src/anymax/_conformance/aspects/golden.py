"""What official implementations returned, values and gradients, moved to our conventions."""

from __future__ import annotations

import numpy as np

from anymax._conformance.calls import pullback
from anymax._conformance.cell import Cell, Skip, outputs_of
from anymax._conformance.compare import compare
from anymax.testing import Case, Golden


def applies(cell: Cell) -> bool:
    here = cell.column.name in ("numpy", "torch") and cell.dtype == "float64"
    return here and cell.entry.has_golden


def check(cell: Cell) -> float | None:
    try:
        goldens = {g.case.name: g for g in cell.entry.golden()}
    except FileNotFoundError as absent:
        raise Skip(str(absent)) from None

    def one(case: Case) -> float:
        return _one(cell, goldens[case.name])

    return cell.each(one, [g.case for g in goldens.values()])


def _one(cell: Cell, golden: Golden) -> float:
    worst = 0.0
    expected = outputs_of(golden.expected)
    for i, (y, e) in enumerate(zip(cell.raw(golden.case), expected, strict=True)):
        worst = max(worst, compare(y, e, rtol=golden.rtol, floor=1.0, what=f"result {i}"))
    if golden.cotangent is None:
        return worst
    with cell.session():
        grads = pullback(cell, golden.case, [golden.cotangent])
    for slot, e in golden.gradients.items():
        size = max(1.0, float(np.max(np.abs(e), initial=0.0)))
        what = f"gradient by {slot!r}"
        worst = max(worst, compare(grads[slot], e, rtol=golden.rtol, floor=size, what=what))
    return worst
