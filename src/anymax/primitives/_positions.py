"""Where queries and keys stand relative to one another, and who may see whom by position."""

from __future__ import annotations

from typing import Any

from anymax._array import Array, arange, device


class Positions:
    """Relative positions ``relative = i + offset - j``, of shape (..., 1, L, S) or (L, S).

    The offset aligns the last valid query with the last valid key, or the first ones for
    ``causal="upper_left"``.
    """

    def __init__(self, xp: Any, q: Array, k: Array, q_lengths, k_lengths, causal) -> None:
        self.q_lengths, self.k_lengths = q_lengths, k_lengths
        num_queries, num_keys = q.shape[-2], k.shape[-2]
        self.i = arange(xp, num_queries, q)[:, None]
        self.j = arange(xp, num_keys, q)[None, :]
        if causal == "upper_left":
            self.relative = self.i - self.j
            return
        last_key = num_keys if k_lengths is None else _per_entry(k_lengths)
        last_query = num_queries if q_lengths is None else _per_entry(q_lengths)
        self.relative = self.i - self.j + (last_key - last_query)

    def visible(self, causal, window) -> Array | None:
        """Boolean (..., L, S): which keys each query may see; None when nothing is hidden."""
        keep = None
        if causal:
            keep = _both(keep, self.relative >= 0)
        left, right = window if window is not None else (None, None)
        if left is not None:
            keep = _both(keep, self.relative <= left)
        if right is not None:
            keep = _both(keep, self.relative >= -right)
        if self.k_lengths is not None:
            keep = _both(keep, self.j < _per_entry(self.k_lengths))
        if self.q_lengths is not None:
            keep = _both(keep, self.i < _per_entry(self.q_lengths))
        return keep


def counts(xp: Any, like: Array, keep: Array | None, num_keys: int) -> Array:
    """How many keys each query sees, (..., L), or (1,) if none is hidden."""
    if keep is None:
        return xp.full((1,), float(num_keys), dtype=like.dtype, device=device(like))
    return xp.sum(xp.astype(keep, like.dtype), axis=-1)


def _both(a: Array | None, b: Array) -> Array:
    return b if a is None else a & b


def _per_entry(lengths: Array) -> Array:
    """(...) lengths as (..., 1, 1, 1), against heads, queries and keys."""
    return lengths[..., None, None, None]
