"""Results stay where the arguments are, even on a device that mixes with no other.

array-api-strict has such devices: whatever is created without ``device=`` raises next to them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from anymax._conformance.cell import Cell
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    return cell.column.name == "strict"


def check(cell: Cell) -> float | None:
    import array_api_strict as strict

    device = strict.Device("device1")

    def convert(x: Any, dtype: str | None) -> Any:
        return cell.column.convert(x, dtype).to_device(device)

    moved = replace(cell, column=replace(cell.column, convert=convert))

    def one(case: Case) -> float:
        results = moved.raw(case)
        for y in results:
            assert y.device == device, f"the result is on {y.device}"
        return moved.judge(results, case)

    return cell.each(one, cell.cases(large=False))
