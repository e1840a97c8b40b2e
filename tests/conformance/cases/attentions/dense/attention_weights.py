"""`attention_weights`: attention weights: the softmax of scaled products, as an array."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(20)


def _case(name, *, heads=2, key_heads=None, queries=4, keys=5, features=3, batch=(), **options):
    key_heads = heads if key_heads is None else key_heads
    q = _RNG.normal(size=(*batch, heads, queries, features))
    k = _RNG.normal(size=(*batch, key_heads, keys, features))
    flags = {f: options.pop(f) for f in ("wrt", "compiled", "smooth", "large") if f in options}
    return Case(name, (q, k), options, **flags)


def _edges():
    """A bad key, a bad query, a hidden bad key, a query that sees nothing."""
    case = _case("edges", queries=5, keys=6, compiled=True)
    q, k = case.args
    k[0, 1, 2], k[0, 4, 0], q[0, 3, 1], k[1, 5] = np.nan, np.inf, np.nan, -np.inf
    mask = np.ones((2, 5, 6), bool)
    mask[:, :3, 1] = mask[:, :, 5] = mask[:, 1:, 4] = False
    mask[:, 2] = False
    return case.with_("edges", mask=mask)


CASES = [
    _case("plain", smooth=True),
    _edges(),
    _case("grouped_causal", heads=4, key_heads=2, causal=True, smooth=True),
    _case("upper_left", causal="upper_left", window=(2, 0)),
    _case("capped", softcap=0.5, scale=0.75, smooth=True),
    _case("bias", bias=_RNG.normal(size=(2, 4, 5)), wrt=(0, 1, "bias"), smooth=True),
    _case("sink", sink=np.asarray([0.5, -1.0]), wrt=(0, 1, "sink"), smooth=True),
    _case("slopes", alibi_slopes=np.asarray([0.5, 0.25]), wrt=(0, 1, "alibi_slopes"), smooth=True),
    _case("lengths", batch=(2,), lengths=(np.asarray([4, 2]), np.asarray([5, 3])), causal=True),
    Case("no_heads", (_RNG.normal(size=(3, 4)), _RNG.normal(size=(5, 4))), smooth=True),
    _case("one_key", keys=1),
    _case("no_keys", keys=0),
    _case("no_queries", queries=0),
]


def ORACLE(
    q, k, *, scale=None, mask=None, bias=None, causal=False, window=None, softcap=None, sink=None,
    alibi_slopes=None, lengths=None,
):  # fmt: skip
    if q.ndim == 2:
        return ORACLE(
            q[None], k[None], scale=scale, mask=mask, bias=bias, causal=causal, window=window,
            softcap=softcap, sink=sink, alibi_slopes=alibi_slopes, lengths=lengths,
        )[0]  # fmt: skip
    *batch, heads, queries, features = q.shape
    keys, groups = k.shape[-2], heads // k.shape[-3]
    out = np.zeros((*batch, heads, queries, keys), np.longdouble)
    full = out.shape
    scale = features**-0.5 if scale is None else scale
    mask = np.broadcast_to(True if mask is None else mask, full)
    bias = np.broadcast_to(0.0 if bias is None else bias, full)
    sink = np.broadcast_to(-np.inf if sink is None else sink, full[:-2])
    slopes = np.broadcast_to(0.0 if alibi_slopes is None else alibi_slopes, full[:-2])
    q_valid, k_valid = lengths if isinstance(lengths, tuple) else (None, lengths)
    for place in np.ndindex(full[:-1]):
        *entry, h, i = place
        num_queries = queries if q_valid is None else q_valid[tuple(entry)]
        num_keys = keys if k_valid is None else k_valid[tuple(entry)]
        offset = 0 if causal == "upper_left" else num_keys - num_queries
        scores, seen = [], []
        for j in range(keys):
            key = k[(*entry, h // groups, j)]
            visible = mask[(*place, j)] and bias[(*place, j)] != -np.inf
            visible = visible and j < num_keys and i < num_queries
            if causal:
                visible = visible and j <= i + offset
            if window is not None:
                left, right = window
                visible = visible and (left is None or j >= i + offset - left)
                visible = visible and (right is None or j <= i + offset + right)
            if not visible:
                continue
            s = scale * np.sum(q[place] * key)
            if not (np.isfinite(q[place]).all() and np.isfinite(key).all()):
                s = np.longdouble(np.nan)
            s = s if softcap is None else softcap * np.tanh(s / softcap)
            s = s + bias[(*place, j)] - slopes[(*entry, h)] * abs(i + offset - j)
            scores.append(s)
            seen.append(j)
        if seen:
            s = np.asarray(scores)
            top = max(np.max(s), sink[(*entry, h)])
            e = np.exp(s - top)
            out[(*place, seen)] = e / (np.sum(e) + np.exp(sink[(*entry, h)] - top))
    return out


def _attention_to_the_identity(form, case):
    """Attention's output for unit values is its weights."""
    q, k = case.args
    v = np.broadcast_to(np.eye(k.shape[-2]), (*k.shape[:-1], k.shape[-2]))
    p = form(q, k, **case.options)
    if not np.isfinite(p).all():
        return None
    return am.dot_product_attention(q, k, v, **case.options), p


INTEGERS = (0, 1)
SILENT = True
IDENTITIES = (_attention_to_the_identity,)
