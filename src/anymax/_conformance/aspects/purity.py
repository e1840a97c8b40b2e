"""No argument is written, and no result shares memory with an argument."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from anymax._conformance.calls import pullback
from anymax._conformance.cell import Cell, outputs_of
from anymax._conformance.columns import to_numpy
from anymax._conformance.numeric import cotangent
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    return cell.column.name in ("numpy", "torch", "cupy", "torch:cuda") and cell.dtype != "float16"


def check(cell: Cell) -> None:
    cell.each(lambda case: _one(cell, case), cell.cases(large=False))


def _one(cell: Cell, case: Case) -> None:
    given = cell.converted(case)
    arrays = dict(given.slots())
    before = {slot: to_numpy(x).copy() for slot, x in arrays.items()}
    with cell.session():
        results = outputs_of(cell.entry.form.function(*given.args, **given.options))
    for i, y in enumerate(results):
        for slot, x in arrays.items():
            assert not _share(x, y), f"result {i} shares memory with argument {slot!r}"
    _unchanged(arrays, before, "the call")
    if case.differentiated():
        _gradients(cell, case)


def _gradients(cell: Cell, case: Case) -> None:
    """Cotangents are arguments of the backward pass."""
    cotangents = [cotangent(y.shape, i) for i, y in enumerate(cell.expected(case))]
    before = [g.copy() for g in cotangents]
    with cell.session():
        pullback(cell, case, cotangents)
    assert all(np.array_equal(a, b) for a, b in zip(cotangents, before))


def _unchanged(arrays: dict, before: dict, what: str) -> None:
    for slot, x in arrays.items():
        same = np.array_equal(to_numpy(x), before[slot], equal_nan=before[slot].dtype.kind == "f")
        assert same, f"{what} wrote into argument {slot!r}"


def _share(x: Any, y: Any) -> bool:
    if isinstance(x, np.ndarray):
        return isinstance(y, np.ndarray) and np.shares_memory(x, y)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        used = x.untyped_storage(), y.untyped_storage()
        return all(s.nbytes() for s in used) and used[0].data_ptr() == used[1].data_ptr()
    return bool(x.nbytes and y.nbytes and x.data.mem.ptr == y.data.mem.ptr)
