"""One cell of the matrix: a form, a column, a dtype and a backend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from anymax import _backends
from anymax._conformance.columns import Column
from anymax._conformance.compare import Tolerance, compare, overflowed
from anymax._conformance.entries import Entry
from anymax._conformance.poison import poisoned_empties
from anymax._conformance.tolerances import tolerance
from anymax.testing import Case

_REFUSED = "cannot run this call: "
_VALUELESS = ("jax:jit", "jax:gpu", "dask")  # columns in which Python cannot look at values


class Skip(Exception):
    """A check does not apply; the message says why."""


class NotTaken(Exception):
    """The forced backend refused a call; the message is its reason."""


def outputs_of(y: Any) -> tuple[Any, ...]:
    """The arrays that a call returned, those of nested tuples among them, in one tuple."""
    if isinstance(y, (tuple, list)):
        return tuple(z for part in y for z in outputs_of(part))
    return (y,)


@dataclass(frozen=True)
class Cell:
    """Everything that an aspect needs to make calls and judge them."""

    entry: Entry
    column: Column
    dtype: str
    backend: str

    @property
    def name(self) -> str:
        return f"{self.entry.key}-{self.column.name}-{self.dtype}-{self.backend}"

    @property
    def kernel(self) -> bool:
        return self.backend != "reference"

    def tolerance(self, case: Case) -> Tolerance:
        return tolerance(self.entry.primitive, self.dtype_of(case)).times(case.condition)

    def dtype_of(self, case: Case) -> str:
        """The dtype that floating results have: the library's own if no argument is floating."""
        if any(x.dtype.kind == "f" for _, x in case.slots()):
            return self.dtype
        return "float32" if self.column.library == "torch" else "float64"

    def cases(self, **flags: bool) -> list[Case]:
        """The cases that run here, those with the given flags."""
        if self.entry.eager and self.column.name in _VALUELESS:
            return []
        thrifty = self.dtype in self.column.thrifty
        chosen = [
            case
            for case in self.entry.cases
            if (case.compiled or not thrifty)
            and all(getattr(case, flag) == value for flag, value in flags.items())
        ]
        return chosen[:1] if self.column.name == "dask" else chosen  # graphs of thousands of tasks

    def each(self, check: Callable[[Case], float | None], cases: Iterable[Case]) -> float | None:
        """Run `check` on every case; report all failures together, and the worst error."""
        failures, refused, errors, ran = [], [], [], False
        for case in cases:
            try:
                errors.append(check(case))
                ran = True
            except NotTaken as refusal:
                refused.append(str(refusal))
            except Exception as failure:
                failures.append(f"{case.name}: {described(failure)}")
        if failures:
            raise AssertionError("\n".join(failures))
        if not ran:
            raise Skip(refused[0] if refused else "no case of this form fits")
        return max((e for e in errors if e is not None), default=None)

    # -- calls -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """The context that calls of this cell need; empties hold NaN while a kernel runs."""
        poison = poisoned_empties() if self.kernel else contextlib.nullcontext()
        with self.column.session(), poison, _backends.use_backend(self.backend):
            try:
                yield
            except ValueError as error:
                _, refused, reason = str(error).partition(_REFUSED)
                if not (refused and self.kernel):
                    raise
                raise NotTaken(reason.partition(". Use backend")[0]) from None

    def converted(self, case: Case) -> Case:
        """The case with arrays of this column and dtype."""
        return case.mapped(lambda _, x: self.column.convert(x, self.dtype))

    def raw(self, case: Case, function: Callable | None = None) -> tuple[Any, ...]:
        """The results of a case, arrays of the library."""
        with self.session():
            function = function or self.entry.form.function
            return outputs_of(self.column.call(function, self.converted(case)))

    # -- truth -------------------------------------------------------------------------------------

    def expected(self, case: Case) -> tuple[np.ndarray, ...]:
        """What the oracle says."""
        key = (self.entry.key, case.name)
        if key not in _truths:
            _truths[key] = oracle_of(self.entry.oracle, case)
        return _truths[key]

    def judge(self, results: Iterable[Any], case: Case) -> float:
        """Compare results with the oracle; gives the worst error."""
        t = self.tolerance(case)
        worst = 0.0
        expected = self.expected(case)
        results = outputs_of(tuple(results))
        assert len(results) == len(expected), f"{len(results)} results, not {len(expected)}"
        for i, (y, e) in enumerate(zip(results, expected)):
            e = overflowed(e, self.dtype)
            worst = max(worst, compare(y, e, rtol=t.rtol, floor=t.floor, what=f"result {i}"))
        return worst


_truths: dict[tuple[str, str], tuple[np.ndarray, ...]] = {}


def oracle_of(oracle: Callable, case: Case) -> tuple[np.ndarray, ...]:
    """The oracle's results in extended precision."""
    wide = case.mapped(lambda _, x: x.astype(np.longdouble) if x.dtype.kind == "f" else x.copy())
    with np.errstate(all="ignore"):
        return tuple(np.asarray(y) for y in outputs_of(oracle(*wide.args, **wide.options)))


def described(error: BaseException) -> str:
    """The last line that a traceback would print, without the name of an assertion."""
    text = str(error).strip() or type(error).__name__
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"
