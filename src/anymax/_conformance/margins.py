"""Arrays and oracles that the cases of the margin losses share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anymax._conformance.examples import by_examples, reduced
from anymax._conformance.rows import edge_logits, logits
from anymax.testing import Case


def edges() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edge rows (9, 6) off the kinks of hinges, their labels and their mask."""
    x, where = edge_logits()
    x[1] = [1.0, 0.5, 1.25, 0.25, -1.0, 2.125]
    x[2, 4] = 10112.0
    return x, np.asarray([2, 0, 4, 0, 3, 2, 5, 1, 0]), where


def label_cases(power: bool = True) -> list[Case]:
    """What every loss of class indices has to survive."""
    x, y, where = edges()
    z, t = logits(6, 5, seed=8).reshape(2, 3, 5), np.asarray([[0, 4, 2], [3, 3, 1]])
    w = np.asarray([1.0, 0.5, 2.0, 0.25, 0.0])
    keep = np.arange(30).reshape(2, 3, 5) % 4 != 3
    keep[0, 1, 4] = keep[1, 0, 3] = True
    keep[1, 2] = False
    more = [Case("square", (z, t), {"power": 2, "margin": 0.75}, smooth=True)] if power else []
    return [
        Case("edges", (x, y), {"reduction": "none"}),
        Case("masked", (x, y), {"where": where, "reduction": "none"}, compiled=True),
        Case("mean", (z, t), smooth=True),
        Case("weighted", (z, t), {"weight": w, "where": keep}, compiled=True),
        Case("masked_target", (z, t), {"where": np.arange(5) != 3, "reduction": "sum"}),
        Case("first_axis", (np.moveaxis(z, -1, 0), t), {"axis": 0}),
        Case("one_class", (logits(4, 1), np.zeros(4, int))),
        Case("no_row", (np.zeros((0, 4)), np.zeros(0, int))),
        *more,
    ]


def of_labels(cost: Callable[..., Any], by_count: bool = False) -> Callable[..., Any]:
    """Oracle of ``cost(z, i, power, margin)``: the kept logits, and the place of the target."""

    def oracle(x, y, *, reduction="mean", margin=1.0, power=1, weight=None, **options):
        def row(z: np.ndarray, t: np.ndarray, lost: bool) -> Any:
            return lost_target(z) if lost else cost(z, int(np.argmax(t)), power, margin)

        plain = {"finite": False, "reduction": "none", **options}
        loss = by_examples(row, x, y, **plain)
        live = by_examples(lambda z, t, lost: 1.0, x, y, **plain) > 0
        w = None if weight is None else np.asarray(weight)[y]
        return reduced(loss, reduction, live=live, weight=w, by_count=by_count)

    return oracle


def lost_target(z: np.ndarray) -> float:
    """What an example costs whose target takes no part."""
    return np.nan if np.isnan(z).any() else np.inf


def hinges(z: np.ndarray, i: int, margin: float) -> np.ndarray:
    """What the target lacks of the margin over each rival; NaN stays."""
    return np.maximum(0.0, margin - z[i] + np.delete(z, i))


def of_hot(cost: Callable[..., Any]) -> Callable[..., Any]:
    """Oracle of ``cost(z, right)`` for boolean targets; what `where` masks is left out."""

    def oracle(x, y, *, where=None, **options):
        if where is not None:
            y = y & np.broadcast_to(where, x.shape)

        def row(z: np.ndarray, t: np.ndarray, lost: bool) -> Any:
            return lost_target(z) if lost else cost(z, t > 0)

        t = y.astype(np.longdouble)
        return by_examples(row, x, t, where=where, finite=False, **options)

    return oracle


def hot(lists: np.ndarray, num_classes: int) -> np.ndarray:
    """Boolean (..., C) from lists of classes padded with -1."""
    return np.any(lists[..., None] == np.arange(num_classes), axis=-2)


def signed_cases() -> list[Case]:
    """What every loss of one score and its sign has to survive."""
    inf, nan = np.inf, np.nan
    x = np.asarray([[0.75, -2.0, 0.25, 10240.0, -10240.0, inf, -inf, nan, 3.0]] * 2)
    y = np.asarray([[1] * 9, [-1] * 9])
    keep = np.isfinite(x) & (np.arange(9) != 1)
    z = logits(3, 5, seed=4)
    sign = np.where(np.arange(15).reshape(3, 5) % 3 == 0, -1, 1)
    w = np.asarray([[0.5], [2.0], [0.0]])
    return [
        Case("edges", (x, y), {"reduction": "none"}),
        Case("masked", (x, y), {"where": keep, "reduction": "none"}, compiled=True),
        Case("weighted", (z, sign), {"weight": w, "margin": 0.5}, compiled=True),
        Case("booleans", (z, sign > 0), smooth=True),
        Case("floats", (z, sign.astype(float)), {"reduction": "sum"}, wrt=(0,)),
        Case("nothing", (z, sign), {"where": np.zeros((3, 5), bool)}),
        Case("scalar", (np.asarray(0.25), np.asarray(1))),
        Case("no_score", (np.zeros((0, 2)), np.zeros((0, 2), int))),
    ]


def signs_of(y: np.ndarray) -> np.ndarray:
    """Targets as -1.0 and +1.0."""
    return np.where(y > 0, 1.0, -1.0)


def drawn_signs(rng: np.random.Generator, scores: int = 1) -> Case:
    """A random call of a loss of scores and a sign."""
    shape = tuple(rng.integers(1, 5, size=rng.integers(0, 3)))
    args = [np.asarray(rng.normal(size=shape)) for _ in range(scores)]
    return Case("drawn", (*args, np.asarray(2 * rng.integers(0, 2, size=shape) - 1)))
