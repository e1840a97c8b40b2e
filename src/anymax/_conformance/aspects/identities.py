"""The identities of the case file, on NumPy arrays in float64 (and float32 for kernels)."""

from __future__ import annotations

import numpy as np

from anymax._conformance.cell import Cell
from anymax._conformance.compare import compare
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    dtypes = ("float64", "float32") if cell.kernel else ("float64",)
    return cell.column.name == "numpy" and cell.dtype in dtypes and bool(cell.entry.identities)


def check(cell: Cell) -> float | None:
    used = set()

    def one(case: Case) -> float:
        worst = 0.0
        t = cell.tolerance(case)
        given = cell.converted(case)
        for identity in cell.entry.identities:
            with cell.session(), np.errstate(all="ignore"):  # an identity is plain arithmetic
                sides = identity(cell.entry.form.function, given)
            if sides is None:
                continue
            used.add(identity)
            name = identity.__name__.strip("_").replace("_", " ")
            floor = max(t.floor, 1.0)
            worst = max(worst, compare(*sides, rtol=4 * t.rtol, floor=floor, what=name))
        return worst

    worst = cell.each(one, cell.cases())
    idle = [i.__name__ for i in cell.entry.identities if i not in used]
    # a kernel may refuse what an identity asks of it; the reference may not
    assert not idle or cell.kernel, f"no case is fit for the identities {', '.join(idle)}"
    return worst
