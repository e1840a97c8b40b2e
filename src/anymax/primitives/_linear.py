"""What primitives on linear layers share: logits a chunk of rows at a time, and their bad rows."""

from __future__ import annotations

from typing import Any

from anymax._array import Array
from anymax.primitives._masked import kept, safe_max, select

_CELLS, _LEAST = 1 << 22, 128  # logits at a time, and rows: fewer make poor products


def chunks(count: int, num_classes: int, chunk_size: int | None) -> list[tuple[int, int]]:
    """Ranges of rows whose logits are held at a time; one range over all if the count is unknown.

    They follow from the shape alone, so that results don't depend on the number of threads.
    """
    if count != count or not count:
        return [(0, count)]
    most = chunk_size or max(_LEAST, _CELLS // max(num_classes, 1))
    parts = -(-count // most)
    step = most if chunk_size else -(-count // parts)
    return [(a, min(count, a + step)) for a in range(0, count, step)]


def rows_at(x: Array | None, at: tuple[int, int]) -> Array | None:
    """A range of the rows; an array of one row stands for all."""
    if x is None or x.shape[0] != x.shape[0] or (x.ndim == 2 and x.shape[0] == 1):
        return x
    return x if at == (0, x.shape[0]) else x[at[0] : at[1], ...]


def logits(
    xp: Any, hidden: Array, w: Array, bias: Array | None = None
) -> tuple[Array, Array, Array]:
    """The logits, and both factors with zeros in the place of bad rows.

    Bad rows get NaN by selection: in the product they would spread to the gradient of everything.
    A bias of -inf masks for certain.
    """
    fine_h, fine_w = (xp.all(xp.isfinite(x), axis=-1) for x in (hidden, w))
    h, v = select(xp, fine_h[:, None], hidden), select(xp, fine_w[:, None], w)
    fine = fine_h[:, None] & fine_w[None, :]
    z = select(xp, fine, xp.matmul(h, xp.matrix_transpose(v)), xp.nan)
    if bias is not None:
        some = bias != -xp.inf
        z = select(xp, some, z + select(xp, some, bias), -xp.inf)
    return z, h, v


def sound(xp: Any, z: Array, where: Array | None) -> Array:
    """Rows (N, 1) without NaN and +inf in what takes part."""
    return xp.isfinite(safe_max(xp, z, kept(xp, z, where), (1,)))


def joined(xp: Any, parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
