"""torch.func: grad, vjp, jvp, jacrev, jacfwd, hessian and vmap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anymax._conformance.calls import as_function
from anymax._conformance.cell import Cell
from anymax._conformance.columns import to_numpy
from anymax._conformance.compare import compare
from anymax._conformance.numeric import cotangent
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    here = cell.column.name == "torch" and cell.dtype == "float64" and not cell.kernel
    return here and not cell.entry.eager


def check(cell: Cell) -> None:
    smooth = cell.cases(smooth=True)[:2]
    if smooth:
        cell.each(lambda case: _derivatives(cell, case), smooth)
    cell.each(lambda case: _mapped(cell, case), cell.cases(compiled=True))


def _same(actual: Any, expected: Any, what: str, rtol: float = 1e-11) -> None:
    compare(actual, to_numpy(expected), rtol=rtol, floor=1.0, what=what)


def _scalar(cell: Cell, case: Case) -> tuple[Callable[[Any], Any], Any]:
    """A scalar function of the first differentiated array."""
    f, arrays = as_function(cell, case)
    shapes = [y.shape for y in cell.expected(case)]
    weights = [cell.column.convert(cotangent(s, i), cell.dtype) for i, s in enumerate(shapes)]

    def g(x: Any) -> Any:
        return sum((w * y).sum() for w, y in zip(weights, f(x, *arrays[1:])))

    return g, arrays[0]


def _derivatives(cell: Cell, case: Case) -> None:
    import torch

    with cell.session():
        g, x = _scalar(cell, case)
        leaf = x.detach().clone().requires_grad_()
        (expected,) = torch.autograd.grad(g(leaf), leaf)
        _same(torch.func.grad(g)(x), expected, "func.grad")
        t = cell.column.convert(cotangent(tuple(x.shape), 5), cell.dtype)
        _same(torch.func.jvp(g, (x,), (t,))[1], (expected * t).sum(), "func.jvp")
        _same(torch.func.jacrev(g)(x), expected, "func.jacrev")
        _same(torch.func.jacfwd(g)(x), expected, "func.jacfwd")
        hessian = torch.func.hessian(g)(x)
        second = torch.autograd.functional.hessian(g, x)
        _same(hessian, second, "func.hessian", 1e-9)


def _mapped(cell: Cell, case: Case) -> None:
    """vmap over a new leading axis of the differentiated arrays equals a loop."""
    import torch

    with cell.session():
        f, arrays = as_function(cell, case)
        if not arrays:
            return  # booleans alone
        pairs = tuple(torch.stack([x, x.flip(0)]) for x in arrays)
        together = torch.func.vmap(f)(*pairs)
        for i in range(2):
            for y, e in zip(together, f(*(p[i] for p in pairs))):
                _same(y[i], e, f"vmap, entry {i}", 1e-11 * max(1.0, case.condition))
