"""Rows of logits worth testing, and the cases that all maps of rows share."""

from __future__ import annotations

import numpy as np

from anymax.testing import Case

_INF, _NAN = np.inf, np.nan

# One row an edge; six classes.
_EDGES = np.asarray(
    [
        [0.5, -1.25, 2.0, 0.0, -0.75, 1.5],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],  # ties
        [10240.0, -10240.0, 10176.0, 0.0, 10240.0, -5.0],  # huge logits
        [2.0, -_INF, 0.25, -_INF, -1.0, 3.0],  # -inf is masked
        [-_INF] * 6,  # nothing takes part
        [0.5, _INF, -1.0, -_INF, 2.0, 0.0],
        [1.0, 0.5, _NAN, -2.0, -_INF, 0.0],
        [_NAN, 1.0, _INF, 2.0, -_INF, 0.5],  # for the mask to hide
        [3.0, 1.0, -2.0, _NAN, _INF, 0.0],  # for the mask to hide altogether
    ]
)
_MASK = np.ones(_EDGES.shape, bool)
_MASK[3, 5] = _MASK[5, 4] = _MASK[6, 0] = False
_MASK[7, [0, 2]] = False
_MASK[8] = False


def logits(rows: int, classes: int, seed: int = 0) -> np.ndarray:
    """See :func:`anymax.testing.logits`."""
    rng = np.random.default_rng([seed, rows, classes])
    x = rng.normal(size=(rows, classes))
    if classes:
        x[::3, rng.integers(classes)] *= 20.0
    return x


def edge_logits() -> tuple[np.ndarray, np.ndarray]:
    """Edge rows (9, 6) and the mask that goes with them."""
    return _EDGES.copy(), _MASK.copy()


def row_cases() -> list[Case]:
    """See :func:`anymax.testing.row_cases`."""
    x, where = edge_logits()
    smooth = logits(6, 5, seed=1).reshape(2, 3, 5)
    keep = np.random.default_rng(2).uniform(size=(2, 3, 5)) < 0.7
    keep[..., 0] = True
    cases = [
        Case("edges", (x,), compiled=True),
        Case("masked", (x,), {"where": where}, compiled=True),
        Case("smooth", (smooth,), smooth=True),
        Case("smooth_masked", (smooth,), {"where": keep}, smooth=True),
        Case("broadcast_mask", (x[:4],), {"where": np.asarray([[True], [True], [False], [True]])}),
        Case("class_mask", (x[:3],), {"where": where[6]}),
        Case("first_axis", (x,), {"axis": 0, "where": where}),
        Case("one_class", (logits(4, 1),)),
        Case("one_row", (logits(1, 7)[0],)),
        Case("scalar", (np.asarray(0.75),)),
        Case("no_class", (np.zeros((3, 0)),)),
        Case("no_row", (np.zeros((0, 4)),)),
        Case("wide", (logits(37, 2051),), large=True),
        Case("deep", (logits(3000, 5),), large=True),
        Case("inner", (logits(60, 70).reshape(5, 12, 70),), {"axis": 1}, large=True),
    ]
    remainders = [Case(f"width_{n}", (logits(3, n),)) for n in (3, 8, 15, 17, 33, 64, 131)]
    return cases + remainders
