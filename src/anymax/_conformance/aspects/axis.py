"""`axis` against moved axes: every single axis, pairs, all of them, and 0-d arrays."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np

from anymax._conformance.cell import Cell
from anymax._conformance.compare import as_numpy, compare
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    if "axis" not in inspect.signature(cell.entry.form.function).parameters:
        return False
    if cell.column.name in ("jax", "strict:strictest"):  # other columns have the same arrays
        return False
    return cell.dtype == "float64" or (cell.kernel and cell.dtype == "float32")


def check(cell: Cell) -> float | None:
    cases = [c for c in cell.cases(large=False) if _fits(c)]
    thrifty = cell.dtype in cell.column.thrifty or cell.column.name == "dask"
    worst = cell.each(lambda case: _one(cell, case, thrifty), cases[:1] if thrifty else cases)
    if _takes_tuples(cell) and all(len(c.args) == 1 for c in cases):
        _scalars(cell)
    return worst


def _fits(case: Case) -> bool:
    x = case.args[0]
    return "axis" not in case.options and x.ndim >= 2 and x.size > 0


def _takes_tuples(cell: Cell) -> bool:
    parameter = inspect.signature(cell.entry.form.function).parameters["axis"]
    return "tuple" in str(parameter.annotation)


def _one(cell: Cell, case: Case, thrifty: bool) -> float:
    """The case with its class axis elsewhere, then spread over two axes, and over all."""
    ndim = case.args[0].ndim
    places = [0] if thrifty else [*range(ndim - 1), *range(-ndim, 0)]
    worst = max(_moved(cell, case, place) for place in places)
    if _takes_tuples(cell) and not thrifty:
        worst = max(worst, *(_joined(cell, case, axes) for axes in _pairs(ndim)))
    return worst


def _pairs(ndim: int) -> list[tuple[int, ...] | None]:
    pairs = [tuple(sorted(p)) for p in itertools.combinations(range(ndim), 2)]
    return [*pairs, (ndim - 1, 0), None]


def _moves(case: Case, ndim: int):
    """Arrays with as many axes as the logits have the class axis; smaller masks are padded."""

    def widen(slot: Any, x: np.ndarray) -> np.ndarray:
        if slot == "where":
            return x.reshape((1,) * (ndim - x.ndim) + x.shape)
        return x

    return case.mapped(widen)


def _moved(cell: Cell, case: Case, place: int) -> float:
    ndim = case.args[0].ndim
    padded = _moves(case, ndim)
    moved = padded.mapped(
        lambda _, x: np.ascontiguousarray(np.moveaxis(x, -1, place)) if x.ndim == ndim else x
    ).with_(case.name, axis=place)
    worst = 0.0
    for y, e in zip(cell.raw(moved), cell.expected(case)):
        got = as_numpy(y)
        keeps = got.ndim == ndim and case.options.get("reduction") is None
        got = np.moveaxis(got, place, -1) if keeps else got
        t = cell.tolerance(case)
        worst = max(worst, compare(got, e, rtol=t.rtol, floor=t.floor, what=f"axis={place}"))
    return worst


def _joined(cell: Cell, case: Case, axes: tuple[int, ...] | None) -> float:
    """Over several axes: the same as over one axis into which they are merged."""
    x = case.args[0]
    chosen = tuple(range(x.ndim)) if axes is None else axes
    rest = tuple(a for a in range(x.ndim) if a not in chosen)
    options = case.options
    if any(isinstance(v, np.ndarray) for o, v in options.items() if o not in ("where", "weight")):
        return 0.0  # a temperature per row has no meaning over other axes
    spread = {o: np.broadcast_to(v, x.shape) for o, v in options.items() if _rowwise(v)}

    def merged(a: np.ndarray) -> np.ndarray:
        lead = tuple(a.shape[i] for i in rest)
        return np.ascontiguousarray(a.transpose(*rest, *sorted(chosen)).reshape(*lead, -1))

    args = tuple(np.broadcast_to(a, x.shape) for a in case.args)
    flat = Case(
        case.name,
        tuple(merged(a) for a in args),
        {**options, **{o: merged(v) for o, v in spread.items()}},
    )
    whole = Case(case.name, args, {**options, **spread, "axis": axes})
    worst = 0.0
    for y, e in zip(cell.raw(whole), cell.raw(flat)):
        got, wanted = as_numpy(y), as_numpy(e)
        if got.ndim == x.ndim and not options.get("keepdims"):
            got = merged(got)
        got = got.reshape(wanted.shape)
        t = cell.tolerance(case)
        worst = max(worst, compare(got, wanted, rtol=t.rtol, floor=t.floor, what=f"axis={axes}"))
    return worst


def _rowwise(v: Any) -> bool:
    return isinstance(v, np.ndarray)


def _scalars(cell: Cell) -> None:
    """A 0-d array is a row of one element, whichever way the axis is said."""
    x, required = np.asarray(0.75), _required(cell)
    row, *_ = cell.raw(Case("row", (x[None],), required))
    wanted = as_numpy(row).reshape(())
    for axis in (-1, 0, None, ()):
        y, *_ = cell.raw(Case("scalar", (x,), {**required, "axis": axis}))
        compare(y, wanted, rtol=0.0, floor=1e-300, what=f"0-d array, axis={axis}")


def _required(cell: Cell) -> dict[str, Any]:
    """The options that a call cannot do without, as the first case has them."""
    parameters = inspect.signature(cell.entry.form.function).parameters
    options = cell.entry.cases[0].options
    empty = inspect.Parameter.empty
    return {name: v for name, v in options.items() if parameters[name].default is empty}
