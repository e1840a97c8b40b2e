"""torch.compile(fullgraph=True), values and gradients, of the stacked edges.

The graph is captured and differentiated ahead of time for every form (aot_eager); code is generated
(inductor) for one form of each primitive.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from anymax._conformance.calls import as_function
from anymax._conformance.cell import Cell
from anymax._conformance.columns import to_numpy
from anymax._conformance.compare import compare
from anymax._conformance.entries import owns_primitive
from anymax._conformance.numeric import cotangent
from anymax.testing import Case

_DTYPES = ("float32", "bfloat16")


def applies(cell: Cell) -> bool:
    if cell.column.name not in ("torch", "torch:cuda") or cell.kernel:
        return False
    if cell.dtype == "bfloat16" and cell.entry.primitive is None:  # widened as float32 is
        return False
    return cell.dtype in _DTYPES and sys.version_info < (3, 15) and not cell.entry.eager


def check(cell: Cell) -> None:
    """float32: the last compiled case, bfloat16: the first."""
    compiled = cell.cases(compiled=True)
    if cell.dtype == "bfloat16":
        cell.each(lambda case: _one(cell, case, "aot_eager"), compiled[:1])
        return
    backend = "inductor" if owns_primitive(cell.entry) else "aot_eager"
    cell.each(lambda case: _one(cell, case, backend), compiled[-1:])


def _one(cell: Cell, case: Case, backend: str) -> None:
    import torch

    torch.compiler.reset()
    with cell.session(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own modules
        f, arrays = as_function(cell, case)
        compiled = torch.compile(f, backend=backend, fullgraph=True)
        results = {}
        for name, function in (("eager", f), ("compiled", compiled)):
            leaves = tuple(x.detach().clone().requires_grad_() for x in arrays)
            results[name] = _with_gradients(cell, function, leaves)
    t = cell.tolerance(case)
    for i, (y, e) in enumerate(zip(results["compiled"], results["eager"], strict=True)):
        rtol, what = 8.0 * t.rtol, f"{backend}: output {i}, gradients last"
        compare(y, to_numpy(e), rtol=rtol, floor=max(t.floor, 1e-2), what=what)


def _with_gradients(cell: Cell, f: Any, leaves: tuple[Any, ...]) -> list[Any]:
    import torch

    outputs = f(*leaves)
    shapes = [tuple(y.shape) for y in outputs]
    weights = [cell.column.convert(cotangent(s, i), cell.dtype) for i, s in enumerate(shapes)]
    live = [i for i, y in enumerate(outputs) if y.requires_grad and not y.is_complex()]
    if not live:  # integers, and what is constant by contract
        return [*outputs]
    roots, weights = [outputs[i] for i in live], [weights[i] for i in live]
    return [*outputs, *torch.autograd.grad(roots, leaves, weights, allow_unused=True)]
