"""Calls of a form as functions of the arrays that it is differentiated by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anymax._conformance.cell import Cell, outputs_of
from anymax.testing import Case, Slot


def placed(case: Case, slots: Sequence[Slot], arrays: Sequence[Any]) -> Case:
    """The converted case with `arrays` in `slots`."""
    new = dict(zip(slots, arrays))
    return Case(case.name, *case.call(lambda slot, x: new.get(slot, x)))  # as compilers trace it


def as_function(cell: Cell, case: Case) -> tuple[Callable[..., tuple[Any, ...]], tuple[Any, ...]]:
    """The form as a function of its differentiated arrays, and those arrays, converted.

    Of its floating arrays if none is differentiated, for what compiles and maps it.
    """
    slots = case.differentiated() or case.floating()
    converted = cell.converted(case)
    function = cell.entry.form.function

    def f(*arrays: Any) -> tuple[Any, ...]:
        new = placed(converted, slots, arrays)
        return outputs_of(function(*new.args, **new.options))

    return f, tuple(converted.at(s) for s in slots)


def pullback(cell: Cell, case: Case, cotangents: Sequence[np.ndarray]) -> dict[Slot, Any]:
    """Gradients by every differentiated slot, by `anymax.vjp` (jitted where the column is)."""
    from anymax import vjp

    f, arrays = as_function(cell, case)
    given = tuple(cell.column.convert(g, cell.dtype) for g in cotangents)

    def run(*primals: Any) -> tuple[Any, ...]:
        out, pull = vjp(f, *primals)
        return pull(given[: len(out)])

    grads = cell.column.call(run, Case(case.name, arrays)) if _traced(cell) else run(*arrays)
    return dict(zip(case.differentiated(), grads))


def _traced(cell: Cell) -> bool:
    return cell.column.name in ("jax:jit", "jax:gpu")
