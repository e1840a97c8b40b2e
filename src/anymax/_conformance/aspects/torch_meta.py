"""meta and fake tensors: shapes and dtypes without values."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._conformance.cell import Cell, outputs_of
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    here = cell.column.name == "torch" and cell.dtype == "float32"
    return here and not cell.kernel and not cell.entry.eager


def check(cell: Cell) -> None:
    cases = [*cell.cases(compiled=True), *cell.cases(compiled=False, smooth=True)[:3]]
    cell.each(lambda case: _one(cell, case), cases)


def _one(cell: Cell, case: Case) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with cell.session():
        real = cell.converted(case)
        meta = real.mapped(lambda _, x: x.to("meta"))
        _judge(cell, case, cell.entry.form.function(*meta.args, **meta.options), "meta")
        with FakeTensorMode() as mode:
            fake = real.mapped(lambda _, x: mode.from_tensor(x))
            _judge(cell, case, cell.entry.form.function(*fake.args, **fake.options), "fake")


def _judge(cell: Cell, case: Case, results: Any, what: str) -> None:
    for y, e in zip(outputs_of(results), cell.expected(case), strict=True):
        assert tuple(y.shape) == e.shape, f"{what}: shape {tuple(y.shape)}, not {e.shape}"
        name = _array.dtype_name(y)
        kinds = {"b": ("bool",), "i": ("int",), "u": ("int", "uint"), "c": ("complex",)}
        same = name.startswith(kinds.get(e.dtype.kind, (cell.dtype_of(case),)))
        assert same, f"{what}: dtype {name}, not {cell.dtype}"
        if what == "meta":
            assert y.device.type == "meta", f"the result is on {y.device}"
