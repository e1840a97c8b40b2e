"""The tape's gradients, by closed forms, equal torch's, by automatic differentiation, in float64.

Two derivations that share no code.
"""

from __future__ import annotations

import numpy as np

from anymax._conformance.aspects.gradient import truth
from anymax._conformance.calls import pullback
from anymax._conformance.cell import Cell, Skip
from anymax._conformance.columns import COLUMNS
from anymax._conformance.compare import as_numpy, compare
from anymax._conformance.numeric import cotangent
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    return cell.column.name == "numpy" and cell.dtype == "float64" and not cell.kernel


def check(cell: Cell) -> float | None:
    absent = COLUMNS["torch"].absent()
    if absent:
        raise Skip(absent)
    return cell.each(lambda case: _one(cell, case), cell.cases(large=False))


def _one(cell: Cell, case: Case) -> float:
    if not case.differentiated():
        return 0.0
    cotangents = [cotangent(y.shape, i) for i, y in enumerate(cell.expected(case))]
    other = Cell(cell.entry, COLUMNS["torch"], cell.dtype, cell.backend)
    both = []
    for c in (cell, other):
        with c.session():
            both.append(pullback(c, case, cotangents))
    worst = 0.0
    for slot, slope in truth(cell, case).items():
        known = slope.known | slope.inert
        mine, theirs = (np.where(known, as_numpy(g[slot]), 0.0) for g in both)
        size = max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
        rtol = 1e-12 * max(1.0, case.condition)
        what = f"gradient by {slot!r} (tape, torch)"
        worst = max(worst, compare(mine, theirs, rtol=rtol, floor=size, what=what))
    return worst
