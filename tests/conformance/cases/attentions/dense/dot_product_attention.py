"""`dot_product_attention`: dot-product attention with everything that changes its scores."""

import numpy as np

import anymax as am
from anymax.testing import Case, Golden

_RNG = np.random.default_rng(21)
_FLAGS = ("wrt", "compiled", "smooth", "large", "condition")
_LENGTHS = (np.asarray([4, 2]), np.asarray([5, 3]))


def _case(
    name, *, heads=2, key_heads=None, queries=4, keys=5, features=3, values=2, batch=(), spread=1.0,
    **options,
):  # fmt: skip
    key_heads = heads if key_heads is None else key_heads
    q = _RNG.normal(size=(*batch, heads, queries, features)) * spread
    k = _RNG.normal(size=(*batch, key_heads, keys, features)) * spread
    v = _RNG.normal(size=(*batch, key_heads, keys, values))
    flags = {f: options.pop(f) for f in _FLAGS if f in options}
    return Case(name, (q, k, v), options, **flags)


def _edges():
    """Bad keys, values and queries, seen by some and hidden from others; a query without keys."""
    case = _case("edges", queries=6, keys=7, compiled=True, return_lse=True)
    q, k, v = case.args
    k[0, 1, 2], k[0, 4, 0], k[1, 5] = np.nan, np.inf, -np.inf
    v[0, 5, 1], v[1, 6], q[0, 3, 1] = np.nan, np.inf, np.nan
    mask = np.ones((2, 6, 7), bool)
    mask[:, :4, 1] = mask[:, :, 5] = mask[:, 1:, 4] = mask[:, 1:, 6] = False
    mask[:, 2] = False
    return case.with_("edges", mask=mask)


def _bias(*shape, masked=()):
    b = _RNG.normal(size=shape)
    for place in masked:
        b[place] = -np.inf
    return b


def _every_option():
    bias = _bias(2, 4, 4, 5, masked=[(0, 1, 2, 1), (1, 0)])
    return _case(
        "every_option", heads=4, key_heads=2, batch=(2,), scale=0.75, softcap=1.5, bias=bias,
        mask=_RNG.uniform(size=(2, 1, 4, 5)) < 0.8, causal=True, window=(3, 1),
        sink=np.asarray([0.5, -1.0, 0.0, 2.0]), alibi_slopes=np.asarray([0.5, 0.25, 0.125, 1.0]),
        lengths=_LENGTHS, return_lse=True, wrt=(0, 1, 2, "sink", "alibi_slopes"), compiled=True,
    )  # fmt: skip


CASES = [
    _case("plain", return_lse=True, smooth=True, compiled=True),
    _edges(),
    _every_option(),
    _case("grouped_causal", heads=4, key_heads=2, causal=True, smooth=True),
    _case("multi_query", heads=3, key_heads=1, batch=(2,)),
    _case("upper_left", causal="upper_left", smooth=True),
    _case("more_queries_than_keys", queries=5, keys=3, causal=True, return_lse=True),
    _case("window", window=(1, 2), return_lse=True),
    _case("left_window", window=(1, None)),
    _case("capped", softcap=0.5, scale=0.75, smooth=True),
    _case("huge_scores", spread=60.0, condition=4e3, return_lse=True),
    _case("bias", bias=_bias(2, 4, 5), wrt=(0, 1, 2, "bias"), smooth=True),
    _case("bias_of_keys", bias=_bias(1, 5), wrt=(0, 1, 2, "bias"), smooth=True),
    _case("masking_bias", bias=_bias(4, 5, masked=[(0, 1), (2,)]), wrt=(0, 1, 2, "bias")),
    _case("nan_bias", bias=_bias(4, 5) * np.where(np.eye(4, 5) > 0, np.nan, 1.0)),
    _case("key_mask", mask=np.asarray([True, False, True, True, False])),
    _case("sink", sink=np.asarray([0.5, -1.0]), return_lse=True, wrt=(0, 1, 2, "sink"),
          smooth=True),
    _case("only_sink", sink=np.asarray([0.5, -1.0]), mask=np.zeros((4, 5), bool), return_lse=True),
    _case("slopes", alibi_slopes=np.asarray([0.5, 0.25]), causal=True,
          wrt=(0, 1, 2, "alibi_slopes"), smooth=True),
    _case("lengths", batch=(2,), lengths=_LENGTHS, causal=True, return_lse=True),
    _case("key_lengths", batch=(2,), lengths=np.asarray([0, 3])),
    _case("log_decay", keys=4, causal=True, log_decay=-np.abs(_bias(2, 4)),
          wrt=(0, 1, 2, "log_decay"), smooth=True),
    _case("scale_array", scale=np.asarray(0.75), wrt=(0, 1, 2, "scale"), smooth=True),
    Case("no_heads", tuple(_RNG.normal(size=s) for s in ((3, 4), (5, 4), (5, 2))), smooth=True),
    Case("broadcast_batch", tuple(_RNG.normal(size=s) for s in
                                  ((2, 1, 2, 3, 4), (3, 2, 5, 4), (1, 2, 5, 2)))),
    _case("one_key", keys=1),
    _case("no_keys", keys=0, return_lse=True),
    _case("no_queries", queries=0),
    _case("decode", queries=1, keys=70, features=16, values=16, causal=True, large=True),
    _case("tiles", queries=65, keys=81, features=19, values=11, causal=True, return_lse=True,
          large=True),
    _case("long", queries=130, keys=150, features=32, values=32, heads=4, key_heads=2,
          window=(40, 0), softcap=5.0, large=True),
]  # fmt: skip


def ORACLE(
    q, k, v, *, scale=None, mask=None, bias=None, causal=False, window=None, softcap=None,
    sink=None, alibi_slopes=None, lengths=None, return_lse=False, log_decay=None,
):  # fmt: skip
    if q.ndim == 2:
        q, k, v = q[None], k[None], v[None]
        y = ORACLE(
            q, k, v, scale=scale, mask=mask, bias=bias, causal=causal, window=window,
            softcap=softcap, sink=sink, alibi_slopes=alibi_slopes, return_lse=return_lse,
        )  # fmt: skip
        return tuple(a[0] for a in y) if return_lse else y[0]
    heads, queries, features = q.shape[-3:]
    keys, groups = k.shape[-2], heads // k.shape[-3]
    batch = np.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3])
    full = (*batch, heads, queries, keys)
    q, k, v = (np.broadcast_to(a, (*batch, *a.shape[-3:])) for a in (q, k, v))
    scale = features**-0.5 if scale is None else scale
    mask = np.broadcast_to(True if mask is None else mask, full)
    bias = np.broadcast_to(0.0 if bias is None else bias, full)
    if log_decay is not None:
        bias = bias + _decay(log_decay, queries, full)
    sink = np.broadcast_to(-np.inf if sink is None else sink, full[:-2])
    slopes = np.broadcast_to(0.0 if alibi_slopes is None else alibi_slopes, full[:-2])
    q_valid, k_valid = lengths if isinstance(lengths, tuple) else (None, lengths)
    out = np.zeros((*full[:-1], v.shape[-1]), np.longdouble)
    lse = np.zeros(full[:-1], np.longdouble)
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
        fine = all(np.isfinite(a).all() for a in (s, k[key_head][seen], values))
        out[place], lse[place] = _average(s, values, sink[head])
        if i >= num_queries:  # padding has no denominator, not even the sink
            lse[place] = -np.inf
        elif seen.any() and not (fine and np.isfinite(q[place]).all()):
            out[place] = lse[place] = np.nan
    return (out, lse) if return_lse else out


def _average(s, values, sink):
    """The weighted mean of the values, and the logarithm of the denominator."""
    if not s.size or np.isnan(s).any():
        return np.zeros(values.shape[-1]), sink
    top = max(np.max(s), sink)
    e = np.exp(s - top)
    total = np.sum(e) + np.exp(sink - top)
    return e @ values / total, np.log(total) + top


def _decay(log_decay, queries, full):
    """bias_ij = sum of log_decay over the keys after j up to the query's position."""
    g = np.broadcast_to(log_decay, (*full[:-2], full[-1]))
    out = np.zeros(full, np.longdouble)
    for i in range(queries):
        position = full[-1] - queries + i
        for j in range(full[-1]):
            sign, first, last = (1, j, position) if j <= position else (-1, position, j)
            out[..., i, j] = sign * np.sum(g[..., first + 1 : last + 1], axis=-1)
    return out


def _weights_times_values(form, case):
    q, k, v = case.args
    options = {o: x for o, x in case.options.items() if o not in ("return_lse", "log_decay")}
    if "log_decay" in case.options or q.shape[:-3] != k.shape[:-3] or not np.isfinite(v).all():
        return None
    p = am.attention_weights(q, k, **options)
    if not np.isfinite(p).all():
        return None
    v = v if q.ndim == 2 else np.repeat(v, q.shape[-3] // k.shape[-3], axis=-3)
    y = form(*case.args, **case.options)
    return (y[0] if isinstance(y, tuple) else y), p @ v


def _grouping_is_repetition(form, case):
    q, k, v = case.args
    if q.ndim == 2 or q.shape[-3] == k.shape[-3] or case.large:
        return None
    many = (np.repeat(a, q.shape[-3] // k.shape[-3], axis=-3) for a in (k, v))
    y, z = form(*case.args, **case.options), form(q, *many, **case.options)
    return (y[0], z[0]) if isinstance(y, tuple) else (y, z)


def _keys_have_no_order(form, case):
    if set(case.options) - {"return_lse", "scale", "softcap", "sink"}:
        return None
    q, k, v = case.args
    y = form(*case.args, **case.options)
    z = form(q, k[..., ::-1, :], v[..., ::-1, :], **case.options)
    return (y[1], z[1]) if isinstance(y, tuple) else (y, z)


def _a_wide_window_is_none(form, case):
    if "window" in case.options:
        return None
    wide = form(*case.args, **{**case.options, "window": (200, 200)})
    y = form(*case.args, **case.options)
    return (y[0], wide[0]) if isinstance(y, tuple) else (y, wide)


INTEGERS = (0, 1, 2)
SILENT = True
CANCELLING = ("log_decay",)
IDENTITIES = (
    _weights_times_values,
    _grouping_is_repetition,
    _keys_have_no_order,
    _a_wide_window_is_none,
)


def GOLDEN(load):
    yield from _flash(load)
    yield from _jax(load)
    yield from _fla(load)
    yield from _sinks(load)


def _heads_first(x):
    return np.moveaxis(x, -2, -3)


def _flash(load):
    """flash-attention's reference, (B, T, H, D), aligned like ours; its gradients, too."""
    for n in (1, 2, 3, 4):
        z = load(f"classic-flash-attention__fwd_bwd_case{n}")
        left, right = (None if w < 0 else int(w) for w in z["in_window"])
        options = {"causal": bool(z["in_causal"]), "window": (left, right)}
        if z["in_softcap"] > 0:
            options["softcap"] = float(z["in_softcap"])
        if "in_alibi_slopes" in z:
            options["alibi_slopes"] = z["in_alibi_slopes"]
        args = tuple(_heads_first(z[f"in_{a}"]) for a in "qkv")
        gradients = {i: _heads_first(z[f"out_d{a}"]) for i, a in enumerate("qkv")}
        yield Golden(
            Case(f"flash_{n}", args, options, wrt=(0, 1, 2)), _heads_first(z["out_o"]),
            _heads_first(z["in_do"]), gradients, rtol=1e-11,
        )  # fmt: skip
    z = load("classic-flash-attention__padding_causal")
    lengths = tuple(np.sum(z[f"in_{a}_padding_mask"], axis=-1) for a in ("query", "key"))
    args = tuple(_heads_first(z[f"in_{a}"]) for a in "qkv")
    options = {"causal": True, "lengths": lengths}
    yield Golden(Case("flash_padding", args, options), _heads_first(z["out_o"]))


def _jax(load):
    """jax.nn, (B, T, N, H): computed in float32; it aligns to the upper left, and a query that
    may see nothing gets the mean of all values there, zeros here."""
    z = load("classic-scaled-dot-product-attention__jax_dpa")
    args = tuple(_heads_first(z[f"in_{a}"]) for a in "qkv")
    blind = ~np.any(z["in_mask"], axis=-1, keepdims=True)
    calls = {
        "plain": {},
        "bias": {"bias": z["in_bias"]},
        "mask": {"mask": z["in_mask"]},
        "causal": {"causal": "upper_left"},
        "scale": {"scale": float(z["in_scale"])},
        "seqlen": {"lengths": (np.asarray([6, 4]), np.asarray([9, 5]))},
        "window_3_1": {"mask": _band(6, 9, 3, 1)},
    }
    for name, options in calls.items():
        expected = _heads_first(z[f"out_{name}"])
        expected = np.where(blind, 0.0, expected) if name == "mask" else expected
        yield Golden(Case(f"jax_{name}", args, options), expected, rtol=1e-5)


def _band(queries, keys, left, right):
    i, j = np.arange(queries)[:, None], np.arange(keys)
    return (j >= i - left) & (j <= i + right)


def _fla(load):
    """flash-linear-attention's naive code, causal, (B, T, H, D); window w is (w - 1, 0) here."""
    for n in (0, 1, 2):
        z = load(f"classic-scaled-dot-product-attention__sink_window_gate_case{n}")
        options = {"causal": True}
        if z["in_window"] > 0:
            options["window"] = (int(z["in_window"]) - 1, 0)
        if "in_sink" in z:
            options["sink"] = z["in_sink"]
        if "in_g" in z:
            options["log_decay"] = np.moveaxis(z["in_g"], -1, -2)
        args = tuple(_heads_first(z[f"in_{a}"]) for a in "qkv")
        yield Golden(Case(f"fla_{n}", args, options), _heads_first(z["out_o"]), rtol=1e-11)


def _sinks(load):
    """gpt-oss in transformers, float32: heads second in, third out; the mask is a bias."""
    z = load("classic-softmax1__gpt_oss_sink_a")
    args = tuple(z[f"in_{a}"].astype(float) for a in "qkv")
    options = {
        "bias": z["in_mask"].astype(float),
        "sink": z["in_sinks"].astype(float),
        "scale": float(z["in_scaling"]),
    }
    yield Golden(Case("gpt_oss", args, options), _heads_first(z["out_attn"]), rtol=2e-6)
