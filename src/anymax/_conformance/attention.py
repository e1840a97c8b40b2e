"""Attention row by row in plain NumPy, which the oracles of several forms are built of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from anymax.testing import Case


class Row(NamedTuple):
    """One query: where it is, the scores and values of the keys that it sees, whether all is
    finite there."""

    place: tuple[int, ...]
    scores: np.ndarray
    values: np.ndarray
    keys: np.ndarray
    fine: bool


def attention_rows(
    q, k, v, *, scale=None, mask=None, bias=None, causal=False, window=None, softcap=None,
    alibi_slopes=None, lengths=None,
) -> Iterator[Row]:  # fmt: skip
    """Every query of every head, with heads; see :func:`anymax.dot_product_attention`."""
    heads, queries, features = q.shape[-3:]
    keys, groups = k.shape[-2], heads // k.shape[-3]
    batch = np.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3])
    full = (*batch, heads, queries, keys)
    q, k, v = (np.broadcast_to(a, (*batch, *a.shape[-3:])) for a in (q, k, v))
    scale = features**-0.5 if scale is None else scale
    mask = np.broadcast_to(True if mask is None else mask, full)
    bias = np.broadcast_to(0.0 if bias is None else bias, full)
    slopes = np.broadcast_to(0.0 if alibi_slopes is None else alibi_slopes, full[:-2])
    q_valid, k_valid = lengths if isinstance(lengths, tuple) else (None, lengths)
    j = np.arange(keys)
    for place in np.ndindex(full[:-1]):
        *entry, h, i = place
        head, key_head = (*entry, h), (*entry, h // groups)
        num_queries = queries if q_valid is None else q_valid[tuple(entry)]
        num_keys = keys if k_valid is None else k_valid[tuple(entry)]
        offset = 0 if causal == "upper_left" else num_keys - num_queries
        seen = mask[place] & (bias[place] != -np.inf) & (j < num_keys) & (i < num_queries)
        if causal:
            seen = seen & (j <= i + offset)
        left, right = window or (None, None)
        if left is not None:
            seen = seen & (j >= i + offset - left)
        if right is not None:
            seen = seen & (j <= i + offset + right)
        s = scale * np.sum(q[place] * k[key_head][seen], axis=-1)
        s = s if softcap is None else softcap * np.tanh(s / softcap)
        s = s + bias[place][seen] - slopes[head] * np.abs(i + offset - j[seen])
        values = v[key_head][seen]
        fine = not seen.any() or all(
            np.isfinite(a).all() for a in (s, k[key_head][seen], values, q[place])
        )
        yield Row(place, s, values, j[seen], bool(fine))


def attended(q, k, v, weights: Callable[[np.ndarray], np.ndarray], **options: Any) -> np.ndarray:
    """Outputs (..., Hq, L, Dv) from a function that weighs the scores a query sees; NaN where they
    are not finite."""
    if q.ndim == 2:
        return attended(q[None], k[None], v[None], weights, **options)[0]
    batch = np.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3])
    out = np.zeros((*batch, *q.shape[-3:-1], v.shape[-1]), np.longdouble)
    for row in attention_rows(q, k, v, **options):
        if not row.fine:
            out[row.place] = np.nan
        elif row.scores.size:
            out[row.place] = weights(row.scores) @ row.values
    return out


_FLAGS = ("wrt", "compiled", "smooth", "large", "condition")


def attention_case(
    rng: np.random.Generator, name: str, *, heads=2, key_heads=None, queries=4, keys=5, features=3,
    values=2, batch=(), spread=1.0, **options: Any,
) -> Case:  # fmt: skip
    """A case with random q, k and v; flags of the case and options of the form by name."""
    key_heads = heads if key_heads is None else key_heads
    q = rng.normal(size=(*batch, heads, queries, features)) * spread
    k = rng.normal(size=(*batch, key_heads, keys, features)) * spread
    v = rng.normal(size=(*batch, key_heads, keys, values))
    flags = {f: options.pop(f) for f in _FLAGS if f in options}
    return Case(name, (q, k, v), options, **flags)


def attention_edges(rng: np.random.Generator, **options: Any) -> Case:
    """Bad keys, values and queries, seen by some and hidden from others; a query without keys."""
    case = attention_case(rng, "edges", queries=6, keys=7, compiled=True, **options)
    q, k, v = case.args
    k[0, 1, 2], k[0, 4, 0], k[1, 5] = np.nan, np.inf, -np.inf
    v[0, 5, 1], v[1, 6], q[0, 3, 1] = np.nan, np.inf, np.nan
    mask = np.ones((2, 6, 7), bool)
    mask[:, :4, 1] = mask[:, :, 5] = mask[:, 1:, 4] = mask[:, 1:, 6] = False
    mask[:, 2] = False
    return case.with_("edges", mask=mask)


def attention_options(rng: np.random.Generator, **options: Any) -> Case:
    """Every option that scores can have, at once."""
    bias = rng.normal(size=(2, 4, 4, 5))
    bias[0, 1, 2, 1] = bias[1, 0] = -np.inf
    return attention_case(
        rng, "every_option", heads=4, key_heads=2, batch=(2,), scale=0.75, softcap=1.5, bias=bias,
        mask=rng.uniform(size=(2, 1, 4, 5)) < 0.8, causal=True, window=(3, 1),
        alibi_slopes=np.asarray([0.5, 0.25, 0.125, 1.0]), lengths=(np.asarray([4, 2]),
        np.asarray([5, 3])), wrt=(0, 1, 2, "alibi_slopes"), compiled=True, **options,
    )  # fmt: skip
