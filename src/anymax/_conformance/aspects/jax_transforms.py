"""jax.grad, jvp, vmap and hessian, jitted."""

from __future__ import annotations

from typing import Any

from anymax._conformance.calls import as_function
from anymax._conformance.cell import Cell
from anymax._conformance.compare import as_numpy, compare
from anymax._conformance.numeric import cotangent
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    jitted = cell.column.name in ("jax:jit", "jax:gpu") and cell.dtype == "float64"
    return jitted and not cell.entry.eager


def check(cell: Cell) -> None:
    smooth = [c for c in cell.entry.cases if c.smooth][:1]
    if smooth:
        cell.each(lambda case: _derivatives(cell, case), smooth)
    cell.each(lambda case: _mapped(cell, case), cell.cases(compiled=True)[:1])


def _same(actual: Any, expected: Any, what: str, rtol: float = 1e-11) -> None:
    compare(actual, as_numpy(expected), rtol=rtol, floor=1.0, what=what)


def _derivatives(cell: Cell, case: Case) -> None:
    import jax

    with cell.session():
        f, arrays = as_function(cell, case)
        shapes = [y.shape for y in cell.expected(case)]
        weights = [cell.column.convert(cotangent(s, i), cell.dtype) for i, s in enumerate(shapes)]
        x = arrays[0]
        t = cell.column.convert(cotangent(tuple(x.shape), 5), cell.dtype)

        def g(x: Any) -> Any:
            return sum((w * y).sum() for w, y in zip(weights, f(x, *arrays[1:])))

        def everything(x: Any, t: Any) -> tuple[Any, ...]:
            slope = jax.grad(g)(x)
            along = jax.jvp(g, (x,), (t,))[1]
            curved = jax.jvp(jax.grad(g), (x,), (t,))[1]
            return slope, along, curved, jax.hessian(g)(x)

        slope, along, curved, hessian = jax.jit(everything)(x, t)
        _same(along, (slope * t).sum(), "jvp of the form against its grad")
        n = x.size
        product = (hessian.reshape(n, n) @ t.reshape(n)).reshape(x.shape)
        _same(curved, product, "hessian against jvp of grad", 1e-10)
        _same(hessian.reshape(n, n), hessian.reshape(n, n).T, "hessian against itself", 1e-10)


def _mapped(cell: Cell, case: Case) -> None:
    import jax

    with cell.session():
        f, arrays = as_function(cell, case)
        if not arrays:
            return  # booleans alone
        pairs = tuple(jax.numpy.stack([x, x[::-1] if x.ndim else x]) for x in arrays)
        together = jax.jit(jax.vmap(f))(*pairs)
        for i in range(2):
            for y, e in zip(together, jax.jit(f)(*(p[i] for p in pairs))):
                _same(y[i], e, f"vmap, entry {i}", 1e-11 * max(1.0, case.condition))
