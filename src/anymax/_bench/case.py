"""What a benchmark is: one computation, who else can do it, and how to find the case files."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Function = Callable[..., Any]


def as_it_is(x: np.ndarray) -> np.ndarray:
    return x


@dataclass(frozen=True, slots=True)
class Case:
    """One computation.

    Parameters
    ----------
    form, size : str
        What is computed, and on what shapes: together they are the name of the case.
    ours : callable
        Our function of the arguments.
    theirs : mapping
        For each rival a function without arguments that imports it and gives its function.
    arguments : callable
        Makes the arguments as NumPy arrays; each side gets them as arrays of the rival's library.
    gradients : int
        How many leading arguments are differentiated; 0 for the forward pass alone.
    layouts : mapping
        For a rival that wants its arrays laid out differently: what to do with each of them,
        before the clock runs.
    bytes, flops : float
        What has to be moved and multiplied at the least, for the distance to the floor.
    memory : bool
        Whether memory peaks are measured too.
    """

    form: str
    size: str
    ours: Function
    theirs: Mapping[str, Callable[[], Function]]
    arguments: Callable[[], tuple[np.ndarray, ...]]
    gradients: int = 0
    layouts: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)
    bytes: float = 0.0
    flops: float = 0.0
    memory: bool = False

    @property
    def name(self) -> str:
        return f"{self.form} {self.size}"


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal numbers in float32, the same ones in every run."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def folder() -> pathlib.Path:
    """The case files: the repository's in a checkout, else those that the wheel carries."""
    here = pathlib.Path(__file__).resolve()
    repository = here.parents[3] / "bench" / "cases"
    return repository if repository.is_dir() else here.parent / "cases"


def load(wanted: tuple[str, ...] = ()) -> list[Case]:
    """Every case of every file, or those whose name contains one of the words."""
    cases: list[Case] = []
    for path in sorted(folder().rglob("*.py")):
        name = "anymax_bench_" + path.stem
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        cases += module.CASES
    return [c for c in cases if not wanted or any(word in c.name for word in wanted)]
