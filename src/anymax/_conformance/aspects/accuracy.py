"""Kernels lose no more than plain array code: at most twice its error, or four roundings.

Arguments have all the digits of the dtype here.  The truth is the oracle; for gradients it is the
reference in extended precision, which other aspects have compared with the oracle.  The yardstick
is the reference on NumPy arrays, whose gradients come from the same saved results as a kernel's.
"""

from __future__ import annotations

import numpy as np

from anymax._conformance.calls import pullback
from anymax._conformance.cell import Cell, oracle_of
from anymax._conformance.columns import COLUMNS, to_numpy
from anymax._conformance.compare import EPS, as_numpy, error, overflowed
from anymax._conformance.numeric import cotangent
from anymax._conformance.tolerances import tolerance
from anymax.testing import Case

_FACTOR, _ROUNDINGS = 2.0, 4.0


def applies(cell: Cell) -> bool:
    """One column a kernel: NumPy's, and torch's for the dtype whose bits NumPy doesn't know."""
    if cell.column.name == "torch":
        return cell.kernel and cell.dtype == "bfloat16"
    return cell.kernel and cell.column.name != "numpy:readonly"


def check(cell: Cell) -> float | None:
    """Errors are maxima over all cases, one for values and one for gradients."""
    cases = {c.name: c for c in cell.entry.module.CASES}
    chosen = [cases[c.name] for c in cell.cases()]
    plain = Cell(cell.entry, COLUMNS["numpy"], cell.dtype, "reference")
    worst: dict[str, dict[str, float]] = {"value": {}, "gradient": {}}
    where: dict[str, str] = {}

    def one(case: Case) -> float:
        given = case.mapped(lambda _, x: _rounded(x, cell.dtype))
        found = {
            cell.backend: _errors(cell, given),
            "reference": _errors(plain, given),
        }
        for backend, errors in found.items():
            for kind, e in errors.items():
                if e > worst[kind].get(backend, -1.0):
                    worst[kind][backend] = e
                    if backend == cell.backend:
                        where[kind] = case.name
        return found[cell.backend]["value"]

    result = cell.each(one, chosen)
    for kind, errors in worst.items():
        bound = max(_FACTOR * errors["reference"], _ROUNDINGS * EPS[cell.dtype])
        mine = errors[cell.backend]
        assert mine <= bound, (
            f"worst {kind} error {mine:.3g} ({where.get(kind)}), reference "
            f"{errors['reference']:.3g}, bound {bound:.3g}"
        )
    return result


def _rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    if x.dtype.kind != "f":
        return x
    return to_numpy(COLUMNS["numpy"].convert(x, dtype)).astype(np.float64)


def _errors(cell: Cell, case: Case) -> dict[str, float]:
    """The worst errors of one backend on one case."""
    floor = tolerance(cell.entry.primitive, cell.dtype).floor
    expected = oracle_of(cell.entry.oracle, case)
    value = 0.0
    for y, e in zip(cell.raw(case), expected):
        bad = error(as_numpy(y), overflowed(e, cell.dtype), floor)
        value = max(value, float(np.max(bad, initial=0.0)))
    return {"value": value, "gradient": _gradient_error(cell, case, expected)}


def _gradient_error(cell: Cell, case: Case, expected: tuple[np.ndarray, ...]) -> float:
    if not case.differentiated():
        return 0.0
    cotangents = [cotangent(y.shape, i) for i, y in enumerate(expected)]
    exact = Cell(cell.entry, COLUMNS["numpy"], "longdouble", "reference")
    found = []
    for c in (cell, exact):
        with c.session():
            found.append(pullback(c, case, cotangents))
    worst = 0.0
    for slot in case.differentiated():
        mine, truth = (as_numpy(g[slot]) for g in found)
        fine = np.isfinite(truth)
        mine, truth = np.where(fine, mine, 0.0), np.where(fine, truth, 0.0)
        size = max(1e-3, float(np.max(np.abs(truth), initial=0.0)))
        worst = max(worst, float(np.max(error(mine, truth, size), initial=0.0)))
    return worst
