"""Transposed, stepped, broadcast and reversed arrays give what their contiguous copies give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from anymax._conformance.cell import Cell, outputs_of
from anymax._conformance.columns import to_numpy
from anymax._conformance.compare import EPS, compare
from anymax.testing import Case

View = Callable[[Any], Any]


def applies(cell: Cell) -> bool:
    strided = cell.column.name in ("numpy", "torch", "cupy", "torch:cuda")
    return strided and cell.dtype in ("float64", "float32", "bfloat16")


def check(cell: Cell) -> float | None:
    small = [c for c in cell.cases(large=False) if any(x.size for _, x in c.slots())]
    large = cell.cases(large=True)[:1] if cell.kernel else []  # NumPy's own sums depend on layout
    return cell.each(lambda case: _one(cell, case), small + large)


def _one(cell: Cell, case: Case) -> float:
    worst = 0.0
    for name, twin in _VIEWS.items():
        if name == "reversed" and cell.column.library == "torch":
            continue  # torch has no negative strides
        plain = cell.converted(case)
        viewed = _viewed(plain, twin)
        if name == "broadcast":
            plain = viewed.mapped(lambda _, x: _copy(x))
        for i, (y, e) in enumerate(zip(_call(cell, viewed), _call(cell, plain))):
            worst = max(worst, _judge(cell, case, y, e, f"{name}: result {i}"))
    return worst


def _viewed(case: Case, twin: View) -> Case:
    return case.mapped(lambda _, x: twin(x))


def _judge(cell: Cell, case: Case, y: Any, e: Any, what: str) -> float:
    """Sums may run in another order, so a few roundings are allowed."""
    t = cell.tolerance(case)
    return compare(y, to_numpy(e), rtol=max(t.rtol, 4 * EPS[cell.dtype]), floor=t.floor, what=what)


def _call(cell: Cell, case: Case) -> tuple[Any, ...]:
    with cell.session():
        return outputs_of(cell.entry.form.function(*case.args, **case.options))


# -- views with the values of x (the broadcast one: with its first entries repeated) ---------------


def _transposed(x: Any) -> Any:
    if x.ndim < 2:
        return x
    return _copy(x.swapaxes(-1, -2)).swapaxes(-1, -2)


def _stepped(x: Any) -> Any:
    if not x.ndim or not x.shape[-1]:
        return x
    wide = _empty(x, (*x.shape[:-1], 2 * x.shape[-1]))
    wide[..., ::2] = x
    return wide[..., ::2]


def _broadcast(x: Any) -> Any:
    if x.ndim < 2 or not x.shape[0]:
        return x
    if isinstance(x, np.ndarray):
        return np.broadcast_to(x[:1], x.shape)
    return x[:1].expand(x.shape) if hasattr(x, "expand") else x[:1] + 0 * x


def _reversed(x: Any) -> Any:
    return x if not x.ndim else _copy(x[..., ::-1])[..., ::-1]


def _copy(x: Any) -> Any:
    return x.contiguous().clone() if hasattr(x, "clone") else x.copy(order="C")


def _empty(x: Any, shape: tuple[int, ...]) -> Any:
    """Room whose gaps hold NaN, or True, or a label that fits."""
    fill = float("nan") if "float" in str(x.dtype) else 1
    if hasattr(x, "new_full"):
        return x.new_full(shape, fill)
    return array_api_compat.array_namespace(x).full(shape, fill, dtype=x.dtype)


_VIEWS: dict[str, View] = {
    "transposed": _transposed,
    "stepped": _stepped,
    "broadcast": _broadcast,
    "reversed": _reversed,
}
