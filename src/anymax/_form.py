"""The catalogue of forms: what `@form` records about a function it returns unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

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
) -> Callable[[F], F]:
    """Record a function as a form; the function itself comes back unchanged."""

    def record(function: F) -> F:
        _, module, family, *_ = function.__module__.split(".")
        entry = Form(function, module, family, shapes, papers, cost, level, primitives)
        FORMS[f"{module}.{function.__name__}"] = entry
        return function

    return record
