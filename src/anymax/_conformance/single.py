"""One case on one column, for :func:`anymax.testing.run_case`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anymax import _backends
from anymax._conformance.aspects.value import check_kind
from anymax._conformance.cell import oracle_of, outputs_of
from anymax._conformance.columns import COLUMNS, Column, to_numpy
from anymax._conformance.compare import EPS, Tolerance, compare, overflowed
from anymax.testing import Case


def run_single(
    function: Callable[..., Any],
    case: Case,
    oracle: Callable[..., Any],
    column: str | Column,
    dtype: str,
    backend: str,
    tolerance: Tolerance | None,
) -> float:
    """See :func:`anymax.testing.run_case`."""
    column = _column(column)
    t = tolerance or Tolerance(32.0 * EPS[dtype], 1.0)
    rounded = case.mapped(lambda _, x: _as_given(column, x, dtype))
    with column.session(), _backends.use_backend(backend):
        given = case.mapped(lambda _, x: column.convert(x, dtype))
        results = outputs_of(column.call(function, given))
    expected = oracle_of(oracle, rounded)
    if len(results) != len(expected):
        raise AssertionError(f"{len(results)} results, the oracle gives {len(expected)}")
    worst = 0.0
    for i, (y, e) in enumerate(zip(results, expected)):
        check_kind(column, dtype, y, e)
        rtol = t.rtol * case.condition
        e = overflowed(e, dtype)
        worst = max(worst, compare(y, e, rtol=rtol, floor=t.floor, what=f"result {i}"))
    return worst


def _column(column: str | Column) -> Column:
    if isinstance(column, Column):
        return column
    if column not in COLUMNS:
        raise ValueError(f"run_case: no column {column!r}; one of {', '.join(COLUMNS)} fits")
    return COLUMNS[column]


def _as_given(column: Column, x: Any, dtype: str) -> Any:
    """The numbers that the library gets: `x` rounded to the dtype, as float64."""
    if x.dtype.kind != "f":
        return x
    with column.session():
        return to_numpy(column.convert(x, dtype)).astype("float64")
