"""The case files: one per form, in folders that mirror the forms'."""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from anymax._form import Form
from anymax.testing import Case, Golden

Load = Callable[[str], dict[str, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Entry:
    """A form and its case file.

    A case file defines ``CASES`` (a list), ``ORACLE`` (a function), and may define ``IDENTITIES``
    (functions ``identity(form, case)`` giving two arrays, or None for a case they pass over),
    ``GOLDEN`` (a function ``golden(load)`` that yields :class:`~anymax.testing.Golden`),
    ``INTEGERS`` (positions of arguments that may be integers; the first by default), ``SILENT``
    (True: rows whose result is NaN have gradient 0 rather than NaN), ``CANCELLING`` (options
    whose gradient is a difference of sums, 0 where nothing depends on them but for rounding),
    ``DRAW`` (``draw(rng)`` makes a random case, where the shape string doesn't say enough) and
    ``EAGER`` (True: the form looks at values, so traced and lazy libraries are refused).
    """

    key: str
    form: Form
    module: ModuleType

    @functools.cached_property
    def cases(self) -> list[Case]:
        """The cases, their numbers rounded to eight bits: all dtypes then compute the same thing,
        and one run of the oracle serves them all."""
        return [case.mapped(lambda _, x: to_eight_bits(x)) for case in self.module.CASES]

    @property
    def oracle(self) -> Callable[..., Any]:
        return self.module.ORACLE

    @property
    def identities(self) -> tuple[Callable, ...]:
        return tuple(getattr(self.module, "IDENTITIES", ()))

    def golden(self) -> Iterator[Golden]:
        """The official results; raises FileNotFoundError where the arrays are not at hand."""
        make = getattr(self.module, "GOLDEN", None)
        return iter(()) if make is None else make(load_golden)

    @property
    def has_golden(self) -> bool:
        return hasattr(self.module, "GOLDEN")

    @property
    def integers(self) -> tuple[int, ...]:
        return getattr(self.module, "INTEGERS", (0,))

    @property
    def silent(self) -> bool:
        return getattr(self.module, "SILENT", False)

    @property
    def cancelling(self) -> tuple[str, ...]:
        return getattr(self.module, "CANCELLING", ())

    @property
    def draw(self) -> Callable[[np.random.Generator], Case] | None:
        return getattr(self.module, "DRAW", None)

    @property
    def eager(self) -> bool:
        return getattr(self.module, "EAGER", False)

    @property
    def primitive(self) -> str | None:
        return self.form.primitives[0] if self.form.primitives else None


def to_eight_bits(x: np.ndarray) -> np.ndarray:
    """Floating numbers rounded to the significand of bfloat16 (still float64)."""
    if x.dtype.kind != "f":
        return x
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.where(np.isfinite(x), np.ldexp(np.round(mantissa * 256.0) / 256.0, exponent), x)


def _repository() -> pathlib.Path:
    return pathlib.Path(__file__).resolve().parents[3]


def cases_folder() -> pathlib.Path:
    """The case files: the repository's in a checkout, else those that the wheel carries."""
    here = _repository() / "tests" / "conformance" / "cases"
    return here if here.is_dir() else pathlib.Path(__file__).parent / "cases"


@functools.cache
def load_golden(name: str) -> dict[str, np.ndarray]:
    """The arrays of one golden file, its note under "note"."""
    path = _repository() / "tests" / "golden" / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(f"the golden arrays {name} come with the repository only")
    with np.load(path) as arrays:
        return dict(arrays)


@functools.cache
def entry_of(key: str) -> Entry:
    """The entry of a form, e.g. "softmaxes.softmax"."""
    from anymax._catalogue import load_all

    form = load_all()[key]
    path = cases_folder() / form.module / form.family / f"{form.name}.py"
    if not path.is_file():
        raise FileNotFoundError(
            f"{key} has no cases; write tests/conformance/cases/{form.module}/{form.family}/"
            f"{form.name}.py"
        )
    name = f"anymax._conformance.cases.{form.module}.{form.family}.{form.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return Entry(key, form, module)


def entries(names: Iterable[str] | None = None) -> list[Entry]:
    """Entries of the forms that are named (by key, name, module or family), or of all."""
    from anymax._catalogue import load_all

    forms = load_all()
    wanted = None if names is None else list(names)
    chosen = [
        key
        for key, form in sorted(forms.items())
        if wanted is None or any(n in (key, form.name, form.module, form.family) for n in wanted)
    ]
    if wanted and not chosen:
        raise ValueError(f"matrix: no form is called {', '.join(wanted)}; see anymax.find()")
    return [entry_of(key) for key in chosen]


@functools.cache
def _owner(primitive: str) -> str:
    """The form that stands for a primitive: its namesake, else a softmax, else any user."""
    from anymax._catalogue import load_all

    users = {key: f for key, f in load_all().items() if primitive in f.primitives[:1]}
    name = primitive.removeprefix("row_")
    named = [key for key, f in users.items() if f.name in (name, f"{name}_loss")]
    softmaxes = [key for key, f in users.items() if f.module == "softmaxes"]
    return min(named or softmaxes or users)


def owns_primitive(entry: Entry) -> bool:
    """Whether the form stands for its primitive; others run on it, or are array code alone.

    Every aspect of a kernel is checked on one form; what libraries differ in is checked there, too,
    so that a few cells of other forms will do.
    """
    return entry.primitive is not None and entry.key == _owner(entry.primitive)


@functools.cache
def _leaders() -> frozenset[str]:
    from anymax._catalogue import load_all

    first: dict[str, str] = {}
    for key, form in sorted(load_all().items()):
        first.setdefault(form.function.__module__, key)
    return frozenset(first.values())


def leads_file(entry: Entry) -> bool:
    """Whether the form is the first of its source file."""
    return entry.key in _leaders()
