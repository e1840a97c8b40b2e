"""Nearest codes and Lloyd's iterations, block by block so that no V x K array is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anymax import _array
from anymax._array import Array

_BLOCK = 1 << 22  # distances held at once


def nearest(xp: Any, w: Array, codebook: Array) -> tuple[Array, Array]:
    """The nearest code of each row, the lowest of equals, and the squared distance to it."""
    norms = xp.sum(codebook * codebook, axis=-1)
    codes, distances = [], []
    for rows in _blocks(w, codebook.shape[0]):
        d = norms - 2.0 * xp.matmul(rows, xp.matrix_transpose(codebook))
        d = xp.where(xp.isnan(d), xp.full_like(d, xp.inf), d)
        codes.append(xp.argmin(d, axis=-1))
        distances.append(xp.min(d, axis=-1) + xp.sum(rows * rows, axis=-1))
    return xp.concat(codes, axis=0), xp.concat(distances, axis=0)


def means(xp: Any, w: Array, assignment: Array, num_codes: int) -> tuple[Array, Array]:
    """Mean of the rows of each code (0 for a code without any), and their number (K, 1)."""
    numbers = _array.arange(xp, num_codes, assignment, dtype=assignment.dtype)
    total = xp.zeros((num_codes, w.shape[1]), dtype=w.dtype, device=_array.device(w))
    count = xp.zeros((num_codes, 1), dtype=w.dtype, device=_array.device(w))
    start = 0
    for rows in _blocks(w, num_codes):
        stop = start + rows.shape[0]
        hot = xp.astype(numbers[:, None] == assignment[None, start:stop], w.dtype)
        total = total + xp.matmul(hot, rows)
        count = count + xp.sum(hot, axis=-1, keepdims=True)
        start = stop
    return total / xp.where(count > 0, count, xp.ones_like(count)), count


def lloyd(xp: Any, w: Array, codebook: Array, num_iters: int) -> tuple[Array, Array]:
    """Codebook after so many iterations, and the nearest codes; empty codes take the worst rows."""
    codes, distance = nearest(xp, w, codebook)
    for _ in range(num_iters):
        centre, count = means(xp, w, codes, codebook.shape[0])
        empty = count[:, 0] == 0
        rank = xp.cumulative_sum(xp.astype(empty, codes.dtype), axis=0, dtype=codes.dtype) - 1
        rank = xp.where(empty, rank % w.shape[0], xp.zeros_like(rank))
        worst = xp.take(xp.argsort(-distance, stable=True), rank, axis=0)
        codebook = xp.where(empty[:, None], xp.take(w, worst, axis=0), centre)
        codes, distance = nearest(xp, w, codebook)
    return codebook, codes


def _blocks(w: Array, width: int) -> Iterator[Array]:
    size = max(1, _BLOCK // max(width, 1))
    for start in range(0, max(w.shape[0], 1), size):
        yield w[start : min(start + size, w.shape[0]), :]
