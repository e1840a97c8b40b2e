"""The catalogue of forms: what `@form` records about a function, which stays as it was written.

Only NumPy's floating-point warnings are off while it runs: -inf, +inf and NaN are legal here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from anymax._array import torch_compiling

F = TypeVar("F", bound=Callable)

FORMS: dict[str, Form] = {}


@dataclass(frozen=True, slots=True)
class Form:
    """One mathematical function on arrays, and what the documentation and the tests need of it.

    Parameters
    ----------
    function : callable
        The form itself.
    module : str
        "softmaxes", "losses" or "attentions": the public namespace it belongs to.
    family : str
        The folder inside that namespace, e.g. "exponential".
    shapes : str
        Shapes of arguments and result, e.g. ``"x: ... C -> ... C"``.
    papers : tuple of str
        arXiv numbers, or "classic".
    cost : str
        Time and extra memory, in the names of `shapes`.
    level : str
        "top" for ``anymax.<name>``, "module" for a piece that only its namespace exports.
    primitives : tuple of str
        The primitives that the form runs on.
    """

    function: Callable
    module: str
    family: str
    shapes: str
    papers: tuple[str, ...]
    cost: str
    level: str
    primitives: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.function.__name__


def form(
    *,
    shapes: str,
    papers: tuple[str, ...] = ("classic",),
    cost: str = "O(n)",
    level: str = "top",
    primitives: tuple[str, ...] = (),
    quiet: bool = True,
) -> Callable[[F], F]:
    """Record a function as a form.

    With `quiet`, NumPy's floating-point warnings are off while it runs; a form whose primitives do
    all the arithmetic is quiet by itself, and comes back unchanged without it.
    """

    def record(function: F) -> F:
        _, module, family, *_ = function.__module__.split(".")
        public = _quiet(function) if quiet else function
        entry = Form(public, module, family, shapes, papers, cost, level, primitives)
        FORMS[f"{module}.{function.__name__}"] = entry
        return public

    return record


def _quiet(function: F) -> F:
    @functools.wraps(function)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        if torch_compiling():
            return function(*args, **kwargs)
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return quiet  # type: ignore[return-value]
