"""Cases that hypothesis draws from the form's shape string, against the oracle."""

from __future__ import annotations

import importlib.util

from anymax._conformance.cell import Cell, NotTaken, Skip, oracle_of
from anymax._conformance.compare import compare, overflowed
from anymax.testing import Case, strategies


def applies(cell: Cell) -> bool:
    return cell.column.name == "numpy" and cell.dtype == "float32"


def check(cell: Cell) -> None:
    if importlib.util.find_spec("hypothesis") is None:
        raise Skip("hypothesis is not installed")
    from hypothesis import HealthCheck, given, settings

    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

    @settings(
        max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=quiet
    )
    @given(strategies(cell.entry.key))
    def holds(case: Case) -> None:
        t = cell.tolerance(case)
        for y, e in zip(cell.raw(case), oracle_of(cell.entry.oracle, case)):
            compare(y, overflowed(e, cell.dtype), rtol=t.rtol, floor=t.floor)

    try:
        holds()
    except NotTaken as refusal:
        raise Skip(str(refusal)) from None
