"""Shapes in one string: ``"q: ... Hq L D, k: ... Hk S D, v: ... Hk S Dv -> ... Hq L Dv"``.

The same string checks a call's shapes, writes its error messages and its documentation, and tells
the tests what to generate.  ``...`` stands for batch axes, which broadcast; a size in brackets,
``[H]``, is an axis that may be left out; a number is itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anymax._array import shape_text

NOUNS = {
    "L": "queries",
    "S": "keys",
    "D": "features",
    "Dv": "value features",
    "Hq": "query heads",
    "Hk": "key heads",
    "C": "classes",
    "N": "examples",
}


@dataclass(frozen=True, slots=True)
class Term:
    """Shape of one array: whether batch axes lead, its axes, how many of them are optional."""

    batch: bool
    axes: tuple[str, ...]
    optional: int


@dataclass(frozen=True, slots=True)
class Spec:
    arguments: tuple[tuple[str, Term], ...]
    results: tuple[Term, ...]


_parsed: dict[str, Spec] = {}  # a dict, as torch.compile warns of functools' caches


def parse(text: str) -> Spec:
    """The parsed form of a shape string.

    Examples
    --------
    >>> parse("x: ... C -> ...").arguments
    (('x', Term(batch=True, axes=('C',), optional=0)),)
    """
    spec = _parsed.get(text)
    if spec is None:
        spec = _parsed[text] = _parse(text)
    return spec


def _parse(text: str) -> Spec:
    left, arrow, right = text.partition("->")
    if not arrow:
        raise ValueError(f"shape string {text!r} has no '->'")
    arguments = []
    for part in left.split(","):
        name, colon, term = part.partition(":")
        if not colon:
            raise ValueError(f"shape string {text!r}: {part.strip()!r} has no name before a colon")
        arguments.append((name.strip(), _term(term)))
    return Spec(tuple(arguments), tuple(_term(t) for t in right.split(",")))


def _term(text: str) -> Term:
    tokens = text.split()
    batch = tokens[:1] == ["..."]
    tokens = tokens[batch:]
    optional = sum(t.startswith("[") for t in tokens)
    return Term(batch, tuple(re.sub(r"[\[\]]", "", t) for t in tokens), optional)


def check(function: str, text: str, arrays: Mapping[str, Any]) -> dict[str, int]:
    """Sizes by name, after every array was found to fit; None arrays are passed over.

    Raises
    ------
    ValueError
        When an array has too few axes, or two arrays disagree about a size.
    """
    sizes: dict[str, int] = {}
    origin: dict[str, str] = {}
    for name, term in parse(text).arguments:
        x = arrays.get(name)
        if x is None:
            continue
        shape = tuple(x.shape)
        _check_rank(function, name, term, shape)
        names = (
            term.axes[len(term.axes) - len(shape) :] if len(shape) < len(term.axes) else term.axes
        )
        for axis, size in zip(reversed(names), reversed(shape)):
            known = int(axis) if axis.isdigit() else sizes.get(axis)
            if known is None:
                sizes[axis], origin[axis] = size, name
            elif known != size and size == size and known == known:
                raise ValueError(
                    _disagreement(
                        function, text, arrays, axis, (origin.get(axis), known), (name, size)
                    )
                )
    return sizes


def _check_rank(function: str, name: str, term: Term, shape: tuple) -> None:
    least = len(term.axes) - term.optional
    if len(shape) >= least and (term.batch or len(shape) <= len(term.axes)):
        return
    wanted = f"at least {least}" if term.batch else str(least)
    axes = ", ".join((("...",) if term.batch else ()) + term.axes)
    raise ValueError(
        f"{function}: {name} has {len(shape)} axes, shape {shape_text(shape)}; "
        f"{wanted} are needed: ({axes})"
    )


def _disagreement(function, text, arrays, axis, first, second) -> str:
    noun = NOUNS.get(axis, f"elements along {axis}")
    shapes = ", ".join(
        f"{name} {_tail(arrays[name].shape, term)}"
        for name, term in parse(text).arguments
        if arrays.get(name) is not None and axis in term.axes
    )
    if first[0] is None:
        fits = f"{second[0]} has {second[1]} {noun}; {first[1]} fit"
    else:
        fits = f"{first[0]} has {first[1]} {noun} but {second[0]} has {second[1]}; they must match"
    return f"{function}: {fits}. Shapes: {shapes}"


def _tail(shape: tuple, term: Term) -> str:
    shape = tuple(shape)
    keep = [str(n) for n in shape[-2:]] if len(term.axes) > 1 else [str(n) for n in shape[-1:]]
    lead = ["..."] if len(shape) > len(keep) else []
    return f"({', '.join(lead + keep)})"


def describe(text: str) -> str:
    """The shape string in the notation of the documentation.

    Examples
    --------
    >>> describe("x: ... C -> ... C")
    'x (..., C) -> (..., C)'
    """
    spec = parse(text)
    left = ", ".join(f"{name} {_words(term)}" for name, term in spec.arguments)
    return f"{left} -> {', '.join(_words(t) for t in spec.results)}"


def _words(term: Term) -> str:
    axes = (("...",) if term.batch else ()) + term.axes
    return f"({', '.join(axes)})" if axes else "scalar"
