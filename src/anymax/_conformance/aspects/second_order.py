"""torch's gradcheck and gradgradcheck where the form is smooth."""

from __future__ import annotations

from typing import Any

from anymax._conformance.calls import as_function
from anymax._conformance.cell import Cell
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    return cell.column.name == "torch" and cell.dtype == "float64"


def check(cell: Cell) -> None:
    cell.each(lambda case: _one(cell, case), cell.cases(smooth=True))


def _one(cell: Cell, case: Case) -> None:
    import torch

    with cell.session():
        form, arrays = as_function(cell, case)

        def f(*given: Any) -> tuple[Any, ...]:  # differences of -inf would be NaN
            return tuple(torch.where(torch.isfinite(y), y, 0.0) for y in form(*given))

        inputs = tuple(x.detach().requires_grad_() for x in arrays)
        torch.autograd.gradcheck(f, inputs, atol=1e-7, rtol=1e-5, fast_mode=True)
        torch.autograd.gradgradcheck(f, inputs, atol=1e-6, rtol=1e-4, fast_mode=True)
