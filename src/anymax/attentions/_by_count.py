"""Attentions with weights of their own: unnormalised sums, divided by how many keys were seen."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax.attentions._arguments import Arguments, visible_counts
from anymax.primitives.attend_map import attend_map

COUNTS = ("keys", "visible")


def check_count(function: str, count: str) -> None:
    if count not in COUNTS:
        raise ValueError(f"{function}: count is {count!r}; 'keys' or 'visible' fits")


def per_count(a: Arguments, x: Array, count: str, power: float) -> Array:
    """``x / n**power`` for x (..., Hq, L, Dv), with n the keys or those that each query sees."""
    if not power:
        return x
    if count == "keys":
        keys: Array = a.operands[1]
        return x * float(max(keys.shape[-2], 1)) ** -power
    n = visible_counts(a)
    xp = a.xp
    n = xp.where(n > 0, n, xp.ones_like(n))
    factor = n if power == 1.0 else n**power
    wide = _array.widen(xp, x) / factor[..., None]
    return _array.cast(xp, wide, x.dtype)


def mapped(
    a: Arguments, kind: str, *, shift: float = 0.0, power: int = 1, normalize: bool = False
) -> Array:
    """Weighted sums of values by `attend_map`, in float32 or wider."""
    q, k, v, mask, bias, _, slopes, q_lengths, k_lengths = a.operands
    q, k, v, bias, slopes = (_array.widen(a.xp, x) for x in (q, k, v, bias, slopes))
    return attend_map(
        q, k, v, mask, bias, slopes, q_lengths, k_lengths,
        **a.options, kind=kind, shift=shift, power=power, normalize=normalize,
    )[0]  # fmt: skip


def finished(a: Arguments, out: Array) -> Array:
    """`out` in the caller's dtype, without the head axis that was added."""
    out = _array.cast(a.xp, out, a.dtype)
    return out[0, ...] if a.headless else out
