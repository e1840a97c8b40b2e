"""hypothesis strategies from shape strings: sizes by name, numbers worth testing."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from anymax._conformance.entries import to_eight_bits
from anymax._shapes import Spec, Term, parse
from anymax.testing import Case

_LABELS = "target"  # integers below the number of classes; everything else is real numbers


def cases_of(form: str) -> st.SearchStrategy[Case]:
    """See :func:`anymax.testing.strategies`."""
    from anymax._catalogue import load_all
    from anymax._conformance.entries import entry_of

    make = entry_of(form).draw
    if make is not None:
        seeds = st.integers(0, 2**32 - 1)
        return seeds.map(lambda seed: make(np.random.default_rng(seed)).mapped(_rounded))
    return _drawn(parse(load_all()[form].shapes))


def _rounded(slot: Any, x: np.ndarray) -> np.ndarray:
    return to_eight_bits(x)


@st.composite
def _drawn(draw: Any, spec: Spec) -> Case:
    names = {a for _, term in spec.arguments for a in term.axes}
    sizes = {name: draw(st.integers(1, 6), label=name) for name in sorted(names)}
    if {"Hq", "Hk"} <= names:
        sizes["Hq"] = sizes["Hk"] * draw(st.integers(1, 2), label="groups")
    headless = any(t.optional for _, t in spec.arguments) and draw(st.booleans(), label="headless")
    batch = () if headless else tuple(draw(st.lists(st.integers(1, 3), max_size=2), label="batch"))
    seed = draw(st.integers(0, 2**32 - 1), label="seed")
    kind = draw(st.sampled_from(("flat", "peaked", "tied", "gaps")), label="kind")
    rng = np.random.default_rng(seed)
    args = []
    for name, term in spec.arguments:
        shape = _shape(term, sizes, batch, headless)
        if name == _LABELS and "C" in sizes:
            args.append(rng.integers(0, sizes["C"], size=shape))
        else:
            args.append(_numbers(rng, shape, kind if "C" in sizes else "flat"))
    return Case(kind, tuple(args))


def _shape(term: Term, sizes: dict[str, int], batch: tuple, headless: bool) -> tuple[int, ...]:
    axes = term.axes[1:] if headless and term.optional else term.axes
    return (batch if term.batch else ()) + tuple(int(a) if a.isdigit() else sizes[a] for a in axes)


def _numbers(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    x = rng.normal(size=shape)
    if kind == "peaked":
        x = np.where(rng.uniform(size=shape) < 0.2, 20.0 * x, x)
    elif kind == "tied":
        x = np.rint(x)
    elif kind == "gaps":
        x = np.where(rng.uniform(size=shape) < 0.3, -np.inf, x)
    return to_eight_bits(np.asarray(x))
