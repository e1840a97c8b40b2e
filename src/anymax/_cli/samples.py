"""A call of a form to look at: random arrays after its shape string, or one of its test cases."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from anymax import _shapes
from anymax._form import Form

SIZES = {"L": 16, "S": 16, "D": 32, "Dv": 32, "Hq": 2, "Hk": 2, "C": 8, "N": 16}
DEFAULT_SIZE = 8
LABELS = ("target", "labels", "index", "indices")
MISFITS = (TypeError, ValueError, IndexError)  # what forms raise for arguments that do not fit


class Call(NamedTuple):
    """Positional arguments and options, in NumPy."""

    args: tuple[Any, ...]
    options: dict[str, Any]

    def mapped(self, change: Callable[[np.ndarray], Any]) -> Call:
        """The same call with another array in the place of each."""
        options = {name: _map(change, x) for name, x in self.options.items()}
        return Call(_map(change, self.args), options)


def run(form: Form, shape: tuple[int, ...] | None, dtype: str, do: Callable[[Call], Any]) -> Any:
    """What `do` gives for the first call that fits; raises what the first one raised if none does.

    Shape strings don't say all: that an array holds indices, or probabilities, or a tree.  A form's
    test cases fit by definition, but have sizes of their own.
    """
    first: Exception | None = None
    for call in calls(form, shape, dtype):
        try:
            with np.errstate(all="ignore"):  # random numbers need not be sensible ones
                return do(call)
        except MISFITS as error:
            first = first or error
    raise first or ValueError(f"{form.name}: there is no call to try")


def calls(form: Form, shape: tuple[int, ...] | None, dtype: str) -> Iterator[Call]:
    """Calls that may fit, the likeliest first."""
    known = _case(form)
    settings = {}
    if known is not None:
        needed = _required(form)
        settings = {k: v for k, v in known.options.items() if k in needed and _is_setting(v)}
    yield Call(tuple(operands(form, shape, dtype).values()), settings)
    if shape is None and known is not None:
        yield known.mapped(lambda x: x.astype(dtype) if x.dtype.kind == "f" else x)


def operands(form: Form, shape: tuple[int, ...] | None, dtype: str) -> dict[str, np.ndarray]:
    """Random arrays for the arguments in a shape string, sized after the first one's `shape`."""
    spec = _shapes.parse(form.shapes)
    (_, first), *_ = spec.arguments
    batch: tuple[int, ...] = (3,)
    sizes, bare = dict(SIZES), False
    if shape is not None:
        bare = len(shape) < len(first.axes)
        names = _present(first, bare)
        if len(shape) < len(names):
            wanted = ", ".join(names)
            raise ValueError(f"{form.name}: --shape has {len(shape)} sizes; ({wanted}) are needed")
        cut = len(shape) - len(names)
        batch, given = shape[:cut], dict(zip(names, shape[cut:]))
        sizes |= given
        if "Hq" in given:  # key heads are as many unless they are given
            sizes["Hk"] = given["Hq"]
    rng = np.random.default_rng(0)
    out = {}
    for name, term in spec.arguments:
        inner = tuple(_size(sizes, axis) for axis in _present(term, bare))
        full = (*batch, *inner) if term.batch else inner
        if name in LABELS:
            out[name] = rng.integers(0, _size(sizes, "C"), full)
        else:
            out[name] = np.asarray(rng.standard_normal(full), dtype=dtype)
    return out


def _case(form: Form) -> Call | None:
    """A test case of the form, a smooth one if there is one; None where there are no case files."""
    from anymax._conformance.entries import entry_of

    try:
        cases = entry_of(f"{form.module}.{form.name}").cases
    except FileNotFoundError:
        return None
    chosen = next((case for case in cases if case.smooth), cases[0])
    return Call(tuple(chosen.args), dict(chosen.options))


def _required(form: Form) -> set[str]:
    parameters = inspect.signature(form.function).parameters.values()
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty}


def _is_setting(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str))


def _map(change: Callable[[np.ndarray], Any], x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return change(x)
    return tuple(_map(change, y) for y in x) if isinstance(x, tuple) else x


def _present(term: _shapes.Term, bare: bool) -> tuple[str, ...]:
    return term.axes[term.optional :] if bare else term.axes


def _size(sizes: dict[str, int], axis: str) -> int:
    return int(axis) if axis.isdigit() else sizes.get(axis, DEFAULT_SIZE)
