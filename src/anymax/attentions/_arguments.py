"""The arguments that attentions share, checked and brought to the shapes a primitive takes."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array, _shapes
from anymax._array import Array
from anymax.primitives._positions import Positions, counts

SHAPES = "q: ... [Hq] L D, k: ... [Hk] S D, v: ... [Hk] S Dv -> ... [Hq] L Dv"
CAUSAL: dict[Any, bool | str] = {
    None: False,
    False: False,
    True: "lower_right",
    "lower_right": "lower_right",
    "upper_left": "upper_left",
}


class Arguments(NamedTuple):
    """Operands and options of the primitive `attend`; `headless`: a head axis was added."""

    xp: Any
    operands: tuple[Array | None, ...]
    options: dict[str, Any]
    headless: bool
    dtype: Any


def prepare(
    function: str,
    q: Array,
    k: Array,
    v: Array | None,
    *,
    scale: float | Array | None,
    mask: Array | None,
    bias: Array | None,
    causal: bool | str,
    window: tuple[int | None, int | None] | None,
    softcap: float | None,
    sink: float | Array | None,
    alibi_slopes: Array | None,
    lengths: Array | tuple[Array | None, Array | None] | None,
    log_decay: Array | None = None,
) -> Arguments:
    """Check and normalise a call.

    Raises
    ------
    TypeError, ValueError
        With the name of `function`, what came and what fits.
    """
    q_lengths, k_lengths = _pair(function, lengths)
    xp = _array.namespace(
        function, q=q, k=k, v=v, mask=mask, bias=bias, sink=sink, alibi_slopes=alibi_slopes,
        scale=scale, log_decay=log_decay, query_lengths=q_lengths, key_lengths=k_lengths,
    )  # fmt: skip
    sizes = _shapes.check(function, SHAPES, {"q": q, "k": k, "v": v})
    q, k, v, bias, sink, alibi_slopes, scale, log_decay = _array.promote(
        xp, function, q=q, k=k, v=v, bias=bias, sink=sink, alibi_slopes=alibi_slopes,
        scale=scale, log_decay=log_decay,
    )  # fmt: skip
    headless = q.ndim == 2 and k.ndim == 2
    if headless:
        q, k, v = (None if a is None else a[None, ...] for a in (q, k, v))
    elif q.ndim == 2 or k.ndim == 2:
        raise ValueError(
            f"{function}: q has {q.ndim} axes and k has {k.ndim}; both need a head axis, or neither"
        )
    batch = _check_heads(function, q, k, v)
    full = (*batch, q.shape[-3], sizes["L"], sizes["S"])
    _array.check_mask(function, "mask", mask, full, "the scores (..., Hq, L, S)")
    if bias is not None:
        _array.check_broadcast(function, "bias", bias, full, "the scores (..., Hq, L, S)")
    sink = _per_head(xp, function, "sink", sink, full[:-2], q)
    alibi_slopes = _per_head(xp, function, "alibi_slopes", alibi_slopes, full[:-2], q)
    q_lengths = _lengths(function, "query lengths", q_lengths, batch)
    k_lengths = _lengths(function, "key lengths", k_lengths, batch)
    if log_decay is not None:
        bias = _with_decay(xp, function, bias, log_decay, q.shape[-2], full)
    q, scale = _scaled(xp, function, q, scale)
    options = {
        "scale": scale,
        "causal": _causal(function, causal),
        "window": _window(function, window),
        "softcap": _softcap(function, softcap),
    }
    operands = (q, k, v, mask, bias, sink, alibi_slopes, q_lengths, k_lengths)
    return Arguments(xp, operands, options, headless, q.dtype)


def visible_counts(a: Arguments) -> Array:
    """How many keys each query sees, broadcastable to (..., Hq, L), in float32 or wider."""
    xp = a.xp
    operands: tuple[Any, ...] = a.operands
    q, k, _, mask, bias, _, _, q_lengths, k_lengths = operands
    place = Positions(xp, q, k, q_lengths, k_lengths, a.options["causal"])
    keep = place.visible(a.options["causal"], a.options["window"])
    for part in (mask, None if bias is None else bias != -xp.inf):
        if part is not None:
            part = xp.broadcast_to(part, (*part.shape[:-1], k.shape[-2]))
            keep = part if keep is None else keep & part
    return counts(xp, _array.widen(xp, q), keep, k.shape[-2])


def _pair(function: str, lengths: Any) -> tuple[Array | None, Array | None]:
    """Lengths of queries and keys; a single array is that of the keys."""
    if not isinstance(lengths, tuple):
        return None, lengths
    if len(lengths) != 2:
        raise ValueError(
            f"{function}: lengths are a tuple of {len(lengths)}; an array of key lengths, or a "
            "pair (query lengths, key lengths) fits"
        )
    return lengths


def _check_heads(function: str, q: Array, k: Array, v: Array | None) -> tuple[int, ...]:
    """The broadcast batch shape, after the heads were found to group."""
    heads, key_heads = q.shape[-3], k.shape[-3]
    if key_heads != heads and (key_heads == 0 or heads % key_heads):
        raise ValueError(
            f"{function}: q has {heads} heads and k has {key_heads}; "
            "the query heads must be a multiple of the key heads"
        )
    batch: tuple[int, ...] = ()
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x is not None:
            batch = _broadcast(function, name, batch, tuple(x.shape[:-3]))
    return batch


def _broadcast(function: str, name: str, a: tuple, b: tuple) -> tuple:
    n = max(len(a), len(b))
    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    if any(x != y and 1 not in (x, y) for x, y in zip(a, b)):
        raise ValueError(
            f"{function}: the batch axes {_array.shape_text(b)} of {name} do not broadcast against "
            f"{_array.shape_text(a)}"
        )
    return tuple(y if x == 1 else x for x, y in zip(a, b))


def _per_head(xp: Any, function: str, name: str, x: Any, heads: tuple, like: Array) -> Array | None:
    if x is None:
        return None
    if _array.is_scalar(x):
        x = xp.full((1,), float(x), dtype=like.dtype, device=_array.device(like))
    if x.ndim == 0:
        x = x[None]
    _array.check_broadcast(function, name, x, heads, "the heads (..., Hq)")
    return x


def _lengths(function: str, name: str, x: Array | None, batch: tuple) -> Array | None:
    if x is None:
        return None
    if _array.is_scalar(x) or not _array.is_integer(x):
        kind = type(x).__name__ if _array.is_scalar(x) else _array.dtype_name(x)
        raise TypeError(f"{function}: {name} are {kind}; an integer array of the batch shape fits")
    _array.check_broadcast(function, name, x, batch, "the batch")
    return x


def _with_decay(xp, function, bias, log_decay, num_queries, full) -> Array:
    """The forget gates as a bias: sum of log_decay over the keys after j, up to query i's position.

    A gate of log 0 = -inf cuts off everything before it; it is counted rather than summed.
    """
    _array.check_broadcast(function, "log_decay", log_decay, (*full[:-2], full[-1]), "(..., Hq, S)")
    num_keys = full[-1]
    if num_queries > num_keys:
        raise ValueError(
            f"{function}: log_decay needs at least as many keys as queries, "
            f"got {num_keys} keys and {num_queries} queries"
        )
    dtype, log_decay = log_decay.dtype, _array.widen(xp, log_decay)
    closed = log_decay == -xp.inf
    total = xp.cumulative_sum(xp.where(closed, xp.zeros_like(log_decay), log_decay), axis=-1)
    cuts = xp.cumulative_sum(xp.astype(closed, xp.int32), axis=-1, dtype=xp.int32)
    first = num_keys - num_queries
    decay = total[..., first:, None] - total[..., None, :]
    cut = cuts[..., first:, None] > cuts[..., None, :]
    decay = _array.cast(xp, xp.where(cut, xp.full_like(decay, -xp.inf), decay), dtype)
    return decay if bias is None else bias + decay


def _scaled(xp: Any, function: str, q: Array, scale: Any) -> tuple[Array, float]:
    """An array scale multiplies q, where its gradient can be followed; a number is an option."""
    if scale is None:
        return q, float(max(q.shape[-1], 1)) ** -0.5
    if _array.is_scalar(scale):
        return q, float(scale)
    if scale.ndim:
        raise ValueError(
            f"{function}: scale has shape {_array.shape_text(scale.shape)}; "
            "a number or a 0-d array fits"
        )
    return q * scale, 1.0


def _causal(function: str, causal: Any) -> bool | str:
    try:
        return CAUSAL[causal]
    except (KeyError, TypeError):
        raise ValueError(
            f"{function}: causal is {causal!r}; False, True (last query at last key) or "
            "'upper_left' (first query at first key) fits"
        ) from None


def _window(function: str, window: Any) -> tuple[int | None, int | None] | None:
    if window is None:
        return None
    fits = isinstance(window, (tuple, list)) and len(window) == 2
    if not fits or any(w is not None and (not hasattr(w, "__index__") or w < 0) for w in window):
        raise ValueError(
            f"{function}: window is {window!r}; a pair (left, right) of non-negative ints, "
            "or None for no limit, fits"
        )
    return tuple(None if w is None else w.__index__() for w in window)  # type: ignore[return-value]


def _softcap(function: str, softcap: Any) -> float | None:
    if softcap is None:
        return None
    try:
        cap = float(softcap)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: softcap is {softcap!r}; a positive number fits") from None
    if not cap > 0:
        raise ValueError(f"{function}: softcap is {softcap}; a positive number or None fits")
    return cap
