"""Sums over pairs of vectors, tile by tile: one product a tile by BLAS, then its rows by the pool.

BLAS is called from this thread only, between the pool's turns: called from pool threads its own
threads would fight for the cores. The matrix of all logits never exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from anymax._cpu import pool
from anymax._cpu.arrays import as_floats, borrow, empty
from anymax._cpu.pairwise_rows import absorb, absorb_softplus, pull, pull_softplus

__all__ = ["backward", "forward", "softplus_backward", "softplus_forward"]

ROWS, COLUMNS = 1024, 4096  # of a tile: 16 MiB of float32, a thousandth of its product's time
_MODES = {"any": 0, "same": 1, "different": 2}
_NEVER = -(1 << 62)
_NO_MASK = np.empty((0, 0), np.uint8)
_NO_LABELS = np.empty(0, np.int64)

Array = np.ndarray[Any, Any]


class _Sweep:
    """The tiles of one batch entry, rows outermost, their logits in memory used again and again."""

    def __init__(self, a: Array, b: Array, where: Array | None, scale: float, diagonal: bool):
        self.a, self.b, self.where, self.scale, self.diagonal = a, b, where, scale, diagonal
        self.bad_rows: Array = ~np.asarray(np.isfinite(a).all(axis=-1))
        self.bad_columns: Array = ~np.asarray(np.isfinite(b).all(axis=-1))
        if self.bad_columns.any():
            self.b = np.where(self.bad_columns[:, None], 0, b)
        rows, columns = min(ROWS, a.shape[0]), min(COLUMNS, b.shape[0])
        self.room = np.empty(rows * columns, a.dtype)
        self.poisoned = bool(self.bad_rows.any() or self.bad_columns.any())

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Blocks of scaled rows without bad numbers."""
        for i in range(0, self.a.shape[0], ROWS):
            here = slice(i, min(i + ROWS, self.a.shape[0]))
            x = self.a[here] * self.a.dtype.type(self.scale)
            x[self.bad_rows[here]] = 0
            yield here, x

    def tiles(self, here: slice, x: Array, spoil: bool) -> Iterator[tuple[slice, Array, Any, int]]:
        """Column ranges, their logits, masks and first diagonals; with `spoil` bad ones are NaN."""
        for j in range(0, self.b.shape[0], COLUMNS):
            there = slice(j, min(j + COLUMNS, self.b.shape[0]))
            z = self.room[: x.shape[0] * (there.stop - j)].reshape(x.shape[0], there.stop - j)
            np.matmul(x, self.b[there].T, out=z)
            if spoil and self.poisoned:
                z[:, self.bad_columns[there]] = np.nan
                z[self.bad_rows[here]] = np.nan
            mask = _NO_MASK
            if self.where is not None:
                mask = np.ascontiguousarray(self.where[here, there]).view(np.uint8)
            yield there, z, mask, _NEVER if self.diagonal else here.start - j


class _Problem:
    """A call: batch entries by number, each as matrices, masks, groups and room for results."""

    def __init__(self, a: Any, b: Any, where: Any, scale: float, diagonal: bool) -> None:
        self.like = a
        first = borrow(a)
        self.cell = np.dtype(np.float64 if first.dtype == np.float64 else np.float32)
        self.a, self.b = as_floats(a, self.cell), as_floats(b, self.cell)
        self.batch = np.broadcast_shapes(self.a.shape[:-2], self.b.shape[:-2])
        self.size = self.a.shape[-2], self.b.shape[-2]
        self.where = None
        if where is not None:
            mask = borrow(where)
            mask = mask.reshape((1,) * (2 - mask.ndim) + mask.shape)
            self.where = np.broadcast_to(mask, (*mask.shape[:-2], *self.size))
            self.batch = np.broadcast_shapes(self.batch, mask.shape[:-2])
        self.scale, self.diagonal = scale, diagonal

    def groups(self, given: Any) -> Array | None:
        if given is None:
            return None
        labels = np.ascontiguousarray(borrow(given), np.int64)
        self.batch = np.broadcast_shapes(self.batch, labels.shape[:-1])
        return labels

    def entries(self) -> Iterator[tuple[Any, _Sweep]]:
        for at in np.ndindex(self.batch):
            where = None if self.where is None else _entry(self.where, at, 2)
            a, b = _entry(self.a, at, 2), _entry(self.b, at, 2)
            yield at, _Sweep(a, b, where, self.scale, self.diagonal)

    def rows(self) -> Any:
        """A fresh number a row, in the caller's library."""
        return empty((*self.batch, self.size[0]), None, self.like)

    def each(self, values: Any, dead: Array | None = None) -> Array:
        """Cotangents of the rows, 0 for None and for rows that have no slope."""
        shape = (*self.batch, self.size[0])
        if values is None:
            return np.zeros(shape, self.cell)
        values = np.broadcast_to(as_floats(values, self.cell), shape)
        return np.ascontiguousarray(values if dead is None else np.where(dead, 0, values))


def _entry(x: Array, at: tuple[int, ...], last: int) -> Array:
    """The part of a broadcast array that belongs to a batch entry: its last axes."""
    lead = x.ndim - last
    own = at[len(at) - lead :] if lead else ()
    return x[tuple(0 if n == 1 else i for i, n in zip(own, x.shape))]


def _labels(groups: Array | None, at: tuple[int, ...], here: slice) -> Array:
    return _NO_LABELS if groups is None else _entry(groups, at, 1)[here]


def forward(
    a: Any, b: Any, where: Any, row_group: Any, column_group: Any, /, *,
    scale: float, groups: str, diagonal: bool,
) -> tuple[Any, Any]:  # fmt: skip
    """Logsumexp and totals of every row; see the primitive pairwise_logsumexp."""
    problem = _Problem(a, b, where, scale, diagonal)
    own, other = problem.groups(row_group), problem.groups(column_group)
    mode = _MODES[groups]
    lse, total = problem.rows(), problem.rows()
    y, sums = borrow(lse), borrow(total)
    code = absorb.code(problem.cell)
    for at, sweep in problem.entries():
        for here, x in sweep.blocks():
            count = x.shape[0]
            m, s, t = np.full(count, -np.inf, x.dtype), np.zeros(count), np.zeros(count)
            mine = _labels(own, at, here)
            for there, z, w, first in sweep.tiles(here, x, spoil=True):
                theirs = _labels(other, at, there)

                def part(i: int, k: int, z: Any = z, w: Any = w, first: int = first) -> None:
                    code(z[i:k], w[i:k], mine[i:k], theirs, mode, first + i, m[i:k], s[i:k], t[i:k])  # noqa: B023

                pool.spread(part, count, z.shape[1])
            with np.errstate(divide="ignore"):
                y[(*at, here)] = m + np.log(s)
            sums[(*at, here)] = t
    return lse, total


def backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, *,
    scale: float, groups: str, diagonal: bool,
) -> tuple[Any, Any, None, None, None]:  # fmt: skip
    """Gradients of both sets of vectors; the logits are computed again, tile by tile."""
    a, b, where, row_group, column_group = operands
    problem = _Problem(a, b, where, scale, diagonal)
    own, other = problem.groups(row_group), problem.groups(column_group)
    mode, code = _MODES[groups], pull.code(problem.cell)
    lse = problem.each(outputs[0])
    dead = ~np.isfinite(lse)
    lse = np.where(dead, problem.cell.type(0), lse)
    g, h = (problem.each(c, dead) for c in cotangents)

    def slope(at: Any, here: slice, there: slice, z: Any, w: Any, first: int) -> None:
        mine, theirs = _labels(own, at, here), _labels(other, at, there)
        rows = [x[(*at, here)] for x in (lse, g, h)]

        def part(i: int, k: int) -> None:
            given = (x[i:k] for x in rows)
            code(z[i:k], w[i:k], mine[i:k], theirs, mode, first + i, *given)

        pool.spread(part, *z.shape)

    return (*_pulled(problem, a, b, needs, slope), None, None, None)


def _pulled(problem: _Problem, a: Any, b: Any, needs: Any, slope: Any) -> tuple[Any, Any]:
    """Gradients of both sets of vectors, where `slope` turns a tile into that of its logits."""
    da, db = (empty(x.shape, None, x) if n else None for x, n in zip((a, b), needs))
    rows, columns = (None if x is None else borrow(x) for x in (da, db))
    for x in (rows, columns):
        if x is not None:
            x[...] = 0
    room = np.empty((max(min(ROWS, problem.size[0]), min(COLUMNS, problem.size[1])),
                     problem.a.shape[-1]), problem.cell)  # fmt: skip
    for at, sweep in problem.entries():
        for here, x in sweep.blocks():
            for there, z, w, first in sweep.tiles(here, x, spoil=False):
                slope(at, here, there, z, w, first)
                if rows is not None:
                    piece = np.matmul(z, sweep.b[there], out=room[: z.shape[0]])
                    piece *= piece.dtype.type(problem.scale)
                    _entry(rows, at, 2)[here] += piece
                if columns is not None:
                    _entry(columns, at, 2)[there] += np.matmul(z.T, x, out=room[: z.shape[1]])
    return da, db


def softplus_forward(a: Any, b: Any, where: Any, /, *, scale: float, diagonal: bool) -> Any:
    """Sums of softplus over rows; see the primitive pairwise_softplus."""
    problem = _Problem(a, b, where, scale, diagonal)
    out = problem.rows()
    y, code = borrow(out), absorb_softplus.code(problem.cell)
    for at, sweep in problem.entries():
        for here, x in sweep.blocks():
            t = np.zeros(x.shape[0])
            for _, z, w, first in sweep.tiles(here, x, spoil=True):

                def part(i: int, k: int, z: Any = z, w: Any = w, first: int = first) -> None:
                    code(z[i:k], w[i:k], first + i, t[i:k])  # noqa: B023

                pool.spread(part, *z.shape)
            y[(*at, here)] = t
    return out


def softplus_backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, *, scale: float, diagonal: bool
) -> tuple[Any, Any, None]:
    """Gradients of both sets of vectors."""
    a, b, where = operands
    problem = _Problem(a, b, where, scale, diagonal)
    code = pull_softplus.code(problem.cell)
    g = problem.each(cotangents[0], ~np.isfinite(problem.each(outputs[0])))

    def slope(at: Any, here: slice, there: slice, z: Any, w: Any, first: int) -> None:
        rows = g[(*at, here)]
        pool.spread(lambda i, k: code(z[i:k], w[i:k], first + i, rows[i:k]), *z.shape)

    return (*_pulled(problem, a, b, needs, slope), None)
