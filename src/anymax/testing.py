"""Check arrays, forms and kernels of your own the way anymax checks its own.

A :class:`Case` is one call, written in NumPy.  :func:`run_case` makes that call with the arrays of
another library, in another dtype, on another backend, and compares what comes back with an oracle
in extended precision: values, dtype, shape and library.

>>> import numpy as np, anymax as am
>>> from anymax.testing import Case, run_case
>>> def oracle(x):
...     e = np.exp(x - x.max())
...     return e / e.sum()
>>> worst = run_case(am.softmax, Case("ramp", (np.arange(4.0),)), oracle, dtype="float32")
>>> worst < 1e-6
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from anymax._conformance.columns import Column

__all__ = ["Case", "Golden", "assert_close", "logits", "row_cases", "run_case", "strategies"]

Slot = Any  # where an array sits in a call: 0, "where", ("lengths", 1), (2, 0, 1)


@dataclass(frozen=True, eq=False)
class Case:
    """One call of a form.

    Parameters
    ----------
    name : str
        Unique among the cases of a form.
    args, options : tuple, mapping
        The call.  Floating arrays are float64 and take the dtype under test; integers and booleans
        stay.  Arguments and options may be (nested) tuples of arrays.
    wrt : tuple, optional
        What the result is differentiated by: positions, names of options, and paths into tuples,
        as (2, 0); the floating positional arrays by default.
    compiled : bool
        Whether compilers and traced libraries run this case too.  One or two cases a form, each
        stacking as many edges as it can, keep that affordable.
    smooth : bool
        Whether the form is smooth here and everything finite: second derivatives are checked.
    large : bool
        Big enough for kernels to split the work; oracles run once, gradients of it stay unchecked.
    condition : float
        How much the form magnifies rounding here, a factor on the tolerance.
    """

    name: str
    args: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    wrt: tuple[Slot, ...] | None = None
    compiled: bool = False
    smooth: bool = False
    large: bool = False
    condition: float = 1.0

    def slots(self) -> Iterator[tuple[Slot, Any]]:
        """Every array of the call, with where it sits."""
        for key, x in (*enumerate(self.args), *self.options.items()):
            for path, y in _leaves((key,), x):
                yield path if len(path) > 1 else key, y

    def differentiated(self) -> tuple[Slot, ...]:
        """The slots of `wrt`, or its default."""
        return self.floating() if self.wrt is None else self.wrt

    def floating(self) -> tuple[Slot, ...]:
        """The slots of the floating positional arrays."""
        return tuple(s for s, x in self.slots() if not _is_named(s) and _is_floating(x))

    def at(self, slot: Slot) -> Any:
        """The array at a slot."""
        key, *path = slot if isinstance(slot, tuple) else (slot,)
        x = self.options[key] if isinstance(key, str) else self.args[key]
        for i in path:
            x = x[i]
        return x

    def mapped(self, change: Callable[[Slot, Any], Any]) -> Case:
        """The same call with `change(slot, array)` in the place of every array."""
        args, options = self.call(change)
        return replace(self, args=args, options=options)

    def call(self, change: Callable[[Slot, Any], Any]) -> tuple[tuple, dict[str, Any]]:
        """Arguments and options with `change(slot, array)` in the place of every array."""

        def changed(path: tuple, x: Any) -> Any:
            if isinstance(x, tuple):
                return tuple(changed((*path, i), y) for i, y in enumerate(x))
            return change(path if len(path) > 1 else path[0], x) if _is_array(x) else x

        args = tuple(changed((i,), x) for i, x in enumerate(self.args))
        return args, {name: changed((name,), x) for name, x in self.options.items()}

    def with_(self, name: str, *args: Any, **changes: Any) -> Case:
        """A variant: other arguments, other options, or other flags of the case."""
        flags = {k: changes.pop(k) for k in list(changes) if k in _FLAGS}
        options = {**self.options, **changes}
        return replace(self, name=name, args=args or self.args, options=options, **flags)


_FLAGS = ("wrt", "compiled", "smooth", "large", "condition")


def _leaves(path: tuple, x: Any) -> Iterator[tuple[tuple, Any]]:
    """The arrays in nested tuples, with their paths."""
    if isinstance(x, tuple):
        for i, y in enumerate(x):
            yield from _leaves((*path, i), y)
    elif _is_array(x):
        yield path, x


def _is_named(slot: Slot) -> bool:
    return isinstance(slot[0] if isinstance(slot, tuple) else slot, str)


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def _is_floating(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


@dataclass(frozen=True, eq=False)
class Golden:
    """What official code returned for a call, and its gradients for a cotangent.

    Parameters
    ----------
    case : Case
        The call, moved to the conventions of this library.
    expected : array or tuple of arrays
        The results.
    cotangent, gradients : array, mapping from slots to arrays
        The gradients of ``sum(cotangent * first result)``, if the official code gave any.
    rtol : float
        What the official code's own arithmetic allows.
    """

    case: Case
    expected: Any
    cotangent: np.ndarray | None = None
    gradients: Mapping[int | str, np.ndarray] = field(default_factory=dict)
    rtol: float = 1e-12


def assert_close(
    actual: Any, expected: Any, *, rtol: float = 1e-12, floor: float = 1.0, what: str = "result"
) -> float:
    """Assert that arrays of any library agree, and give the worst relative error.

    Parameters
    ----------
    actual, expected : arrays
        Of any library; NaN and infinities must sit in the same places.
    rtol : float
        Bound on ``|actual - expected| / (floor + |expected|)``.
    floor : float
        Magnitude below which errors count as absolute.
    what : str
        Named in the message.
    """
    from anymax._conformance.compare import compare

    return compare(actual, expected, rtol=rtol, floor=floor, what=what)


def run_case(
    function: Callable[..., Any],
    case: Case,
    oracle: Callable[..., Any],
    *,
    column: str | Column = "numpy",
    dtype: str = "float64",
    backend: str = "auto",
    rtol: float | None = None,
    floor: float = 1.0,
) -> float:
    """Run one case and compare it with the oracle; gives the worst relative error.

    Parameters
    ----------
    function : callable
        The form, or anything that takes the same arguments.
    case : Case
        The call.
    oracle : callable
        Takes the same arguments as NumPy arrays of extended precision.
    column : str or Column
        The library whose arrays are handed over, e.g. "torch" or "jax:jit".
    dtype : str
        The dtype of the floating arrays.
    backend : str
        As :func:`anymax.use_backend`.
    rtol, floor : float
        The tolerance; 32 roundings of `dtype` by default.

    Raises
    ------
    AssertionError
        When a value, a dtype, a shape or the library of a result is wrong.
    """
    from anymax._conformance.compare import Tolerance
    from anymax._conformance.single import run_single

    tolerance = None if rtol is None else Tolerance(rtol, floor)
    return run_single(function, case, oracle, column, dtype, backend, tolerance)


def strategies(form: str) -> Any:
    """A hypothesis strategy of cases for a form, drawn from its shape string.

    Logits are mixtures worth testing: flat, peaked, tied and with entries of -inf.

    Parameters
    ----------
    form : str
        Name in the catalogue, e.g. ``"softmaxes.softmax"``.
    """
    from anymax._conformance.random_cases import cases_of

    return cases_of(form)


def logits(rows: int, classes: int, seed: int = 0) -> np.ndarray:
    """Rows of logits as networks make them: normal, every third with large outliers."""
    from anymax._conformance.rows import logits

    return logits(rows, classes, seed)


def row_cases() -> list[Case]:
    """The cases that every map of rows ``x: ... C`` has to survive, edges stacked in few arrays."""
    from anymax._conformance.rows import row_cases

    return row_cases()
