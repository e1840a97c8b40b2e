"""The matrix itself: which cells there are, which aspects each has, and running them."""

from __future__ import annotations

import gc
import importlib
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType

from anymax import _backends
from anymax._conformance.cell import Cell, NotTaken, Skip, described
from anymax._conformance.columns import COLUMNS, Column
from anymax._conformance.entries import Entry, entries, leads_file, owns_primitive
from anymax._dispatch import Facts

ASPECTS = (
    "value", "device", "purity", "axis", "layout", "integers", "identities", "golden",
    "gradient", "second_order", "tape", "torch_func", "torch_compile", "torch_meta",
    "jax_transforms", "accuracy", "threads", "random",
)  # fmt: skip
BACKENDS = ("reference", "numba", "cuda")


@dataclass(frozen=True, slots=True)
class Job:
    """One aspect of one cell, or the reason why the cell cannot run at all (no aspect)."""

    cell: Cell
    aspect: str
    reason: str | None = None

    @property
    def name(self) -> str:
        return f"{self.cell.name}-{self.aspect}"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a job: "pass", "fail" or "skip"; the reason; seconds; the worst error."""

    form: str
    column: str
    dtype: str
    backend: str
    aspect: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0
    error: float | None = None


def aspect(name: str) -> ModuleType:
    return importlib.import_module(f"anymax._conformance.aspects.{name}")


def jobs(
    forms: Iterable[str] | None = None,
    columns: Iterable[str] | None = None,
    backends: Iterable[str] | None = None,
    aspects: Iterable[str] | None = None,
    full: bool = False,
) -> Iterator[Job]:
    """Every job, forms outermost; names select, None selects all.

    A column "strict" selects its variants ("strict:strictest") too.  With `full`, forms that are
    plain array code go through every cell that forms with a kernel go through.
    """
    chosen = _columns(columns)
    wanted = tuple(backends or BACKENDS)
    for entry in entries(forms):
        for column in chosen:
            missing = column.absent()
            if missing:
                yield Job(Cell(entry, column, column.dtypes[0], "reference"), "absent", missing)
                continue
            for dtype in column.dtypes:
                for backend in wanted:
                    yield from _jobs(Cell(entry, column, dtype, backend), aspects, full)


def _columns(names: Iterable[str] | None) -> list[Column]:
    if names is None:
        return list(COLUMNS.values())
    names = list(names)
    unknown = [n for n in names if not any(c in (n, c.partition(":")[0] and n) for c in COLUMNS)]
    if unknown:
        raise ValueError(f"matrix: no column {', '.join(unknown)}; one of {', '.join(COLUMNS)}")
    return [c for c in COLUMNS.values() if c.name in names or c.name.partition(":")[0] in names]


def _jobs(cell: Cell, aspects: Iterable[str] | None, full: bool) -> Iterator[Job]:
    if cell.kernel and not _has_kernel(cell):
        return
    if not full and not owns_primitive(cell.entry):
        few = (_FEW_OF_KERNELS if cell.kernel else _FEW).get(cell.column.name, {})
        chosen = few.get(cell.dtype, ())
        if not leads_file(cell.entry):
            chosen = tuple(n for n in chosen if (cell.column.name, n) not in _COMPILED)
        aspects = [name for name in aspects or ASPECTS if name in chosen]
        if not aspects:
            return
    reason = _backends.missing(cell.backend)
    if reason is not None:
        yield Job(cell, "absent", reason)
        return
    for name in ASPECTS if aspects is None else aspects:
        if aspect(name).applies(cell):
            yield Job(cell, name)


def _has_kernel(cell: Cell) -> bool:
    """Whether the backend could run the form's primitive here, were it installed."""
    primitive = _primitive(cell.entry)
    if primitive is None or all(k.backend != cell.backend for k in primitive.kernels):
        return False
    facts = Facts(
        library=cell.column.library, device=cell.column.device, dtype=cell.dtype,
        operands=(), wants=(), obstacle=None, options={},
    )  # fmt: skip
    reason = _backends.why_not(cell.backend, facts)
    return reason is None or reason == _backends.missing(cell.backend)


_FEW: dict[str, dict[str, tuple[str, ...]]] = {
    "numpy": {
        "float64": ASPECTS,
        "float32": ("value", "random"),
        "float16": ("value",),
        "bfloat16": ("value", "gradient"),
    },
    "numpy:readonly": {"float64": ("value",)},
    "strict": {"float64": ("value", "device", "gradient")},
    "strict:strictest": {"float64": ("value",)},
    "torch": {
        "float64": ("value", "golden", "gradient", "second_order", "torch_func"),
        "float32": ("value", "layout", "torch_compile", "torch_meta"),
        "bfloat16": ("value", "gradient"),
    },
    "jax:jit": {"float64": ("jax_transforms",), "float32": ("value", "gradient")},
    "dask": {"float64": ("value",)},
    "cupy": {"float64": ("value", "gradient"), "float32": ("value",), "float16": ("value",)},
    "torch:cuda": {"float32": ("value", "gradient"), "bfloat16": ("value",)},
    "jax:gpu": {"float32": ("value", "gradient")},
}
_COMPILED = {  # a second each; forms of one file are near variants, of which one does
    ("torch", "torch_compile"), ("jax:jit", "jax_transforms"), ("jax:jit", "gradient"),
}  # fmt: skip
_OF_KERNEL = {
    "float64": ("value",),
    "float32": ("value", "gradient", "layout", "accuracy"),
    "bfloat16": ("value", "gradient"),
}
_FEW_OF_KERNELS = dict.fromkeys(("numpy", "torch", "cupy", "torch:cuda"), _OF_KERNEL)


_KEPT = 24  # forms: their shapes repeat, so what is compiled for one serves the next
_seen: set[str] = set()


def forget(before: str) -> None:
    """Drop what compilers keep, every few forms: the matrix would fill the memory."""
    _seen.add(before)
    if len(_seen) <= _KEPT:
        return
    _seen.clear()
    modules = sys.modules
    if "jax" in modules:
        modules["jax"].clear_caches()
    if "torch._dynamo" in modules:
        modules["torch._dynamo"].reset()
    gc.collect()


def _primitive(entry: Entry):
    from anymax._dispatch import PRIMITIVES

    return None if entry.primitive is None else PRIMITIVES[entry.primitive]


def check(job: Job) -> float | None:
    """Run one job: raises AssertionError, or Skip with its reason; may give the worst error."""
    if job.reason is not None:
        raise Skip(job.reason)
    try:
        return aspect(job.aspect).check(job.cell)
    except NotTaken as refusal:
        raise Skip(str(refusal)) from None


def run(
    forms: Iterable[str] | None = None,
    columns: Iterable[str] | None = None,
    backends: Iterable[str] | None = None,
    aspects: Iterable[str] | None = None,
    progress: Callable[[int, int, Result], None] | bool | None = None,
    html: str | None = None,
    full: bool = False,
) -> list[Result]:
    """Run the matrix and give a result per job.

    Parameters
    ----------
    forms, columns, backends, aspects : iterables of str, optional
        What to run, by name; everything by default.
    progress : callable or bool, optional
        Called with (done, total, result) after each job; True shows a bar.
    html : str, optional
        File to write the table to.
    full : bool
        Every cell of every form, rather than a few of those that are plain array code.
    """
    from anymax._conformance import table

    todo = list(jobs(forms, columns, backends, aspects, full))
    results = []
    with table.bar(len(todo)) if progress is True else table.silent() as shown:
        report = progress if callable(progress) else shown
        for number, job in enumerate(todo, 1):
            forget(before=job.cell.entry.key)
            results.append(_result(job))
            report(number, len(todo), results[-1])
    if html is not None:
        table.write_html(results, html)
    return results


def _result(job: Job) -> Result:
    cell = job.cell
    start = time.perf_counter()
    outcome, reason, error = "pass", "", None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)  # no form may let one through
            error = check(job)
    except Skip as skip:
        outcome, reason = "skip", str(skip)
    except Exception as failure:
        outcome, reason = "fail", described(failure)
    return Result(
        cell.entry.key, cell.column.name, cell.dtype, cell.backend, job.aspect,
        outcome, reason, time.perf_counter() - start, error,
    )  # fmt: skip
