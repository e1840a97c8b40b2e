"""Integer arguments give what the same numbers give in the library's default floating dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymax import _array
from anymax._conformance.cell import Cell, outputs_of
from anymax._conformance.compare import as_numpy, compare
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    return cell.dtype == "float64" and cell.column.name not in (
        "numpy:readonly", "strict:strictest", "jax",
    )  # fmt: skip


def check(cell: Cell) -> float | None:
    count = 1 if cell.dtype in cell.column.thrifty else 3
    cases = [c for c in cell.cases(large=False) if c.compiled or c.smooth][:count]
    return cell.each(lambda case: _one(cell, case), [_whole(cell, c) for c in cases])


def _whole(cell: Cell, case: Case) -> Case:
    """The case with small whole numbers; nothing else may be floating."""
    keep = {o: x for o, x in case.options.items() if not isinstance(x, np.ndarray)}
    integers = cell.entry.integers
    args = tuple(
        np.rint(np.nan_to_num(x, nan=0.0, posinf=3.0, neginf=-3.0)).clip(-9, 9).astype(np.int64)
        if i in integers
        else x
        for i, x in enumerate(case.args)
    )
    return Case(case.name, args, keep)


def _one(cell: Cell, case: Case) -> float:
    if any(x.dtype.kind == "f" for _, x in case.slots()):
        return 0.0  # floating targets decide the dtype
    worst = 0.0
    with cell.session():
        given = cell.converted(case)
        results = outputs_of(cell.column.call(cell.entry.form.function, given))
        default = _default_float(given.args[0])
        wide = case.mapped(lambda s, x: x.astype(default) if s in cell.entry.integers else x)
        floats = wide.mapped(lambda _, x: cell.column.convert(x, default))
        expected = outputs_of(cell.column.call(cell.entry.form.function, floats))
    for i, (y, e) in enumerate(zip(results, expected)):
        name = _array.dtype_name(y)
        assert name == _array.dtype_name(e), f"result {i} has dtype {name}, not {default}"
        worst = max(worst, compare(y, as_numpy(e), rtol=1e-12, floor=1e-30, what=f"result {i}"))
    return worst


def _default_float(x: Any) -> str:
    xp = _array.namespace("integers", x=x)
    return str(_array.default_float(xp)).rpartition(".")[2].strip("'>")
