"""Every case, edges among them: values against the oracle, and the kind of array that came back.

Results are of the caller's library, on its device, in its dtype, of the oracle's shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anymax import _array
from anymax._conformance.cell import Cell
from anymax._conformance.columns import Column
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    return True


def check(cell: Cell) -> float | None:
    return cell.each(lambda case: _one(cell, case), cell.cases())


def _one(cell: Cell, case: Case) -> float:
    results = cell.raw(case)
    for y, e in zip(results, cell.expected(case)):
        check_kind(cell.column, cell.dtype_of(case), y, e)
    return cell.judge(results, case)


def check_kind(column: Column, dtype: str, y: Any, expected: np.ndarray) -> None:
    """Assert that `y` belongs to the column's library, its device and the dtype."""
    lib = "numpy" if column.library == "dask" else column.library  # dask was computed
    assert _array.library(y) == lib, f"the result is a {type(y).__name__}"
    name = _array.dtype_name(y)
    if expected.dtype.kind in "biu":
        assert name.startswith(("bool", "int", "uint")), f"the result has dtype {name}"
    elif expected.dtype.kind == "c":
        wide = "complex128" if dtype == "float64" else "complex64"
        assert name == wide, f"the result has dtype {name}, not {wide}"
    else:
        assert name == dtype, f"the result has dtype {name}, not {dtype}"
    if lib == "torch":
        assert y.device.type == column.device, f"the result is on {y.device}"
