"""Attention kernels against a dense oracle in float64, their gradients, and what must not leak."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from anymax._cpu import attend, pool

NAMES = ("q", "k", "v", "mask", "bias", "sink", "slopes", "q_lengths", "k_lengths")
GRADED = (0, 1, 2, 4, 5, 6)


# ---- oracle ----------------------------------------------------------------------------------


def clean(x):
    bad = ~np.isfinite(x).all(axis=-1)
    return np.where(bad[..., None], 0, x), bad


def logits(case, dtype):
    """Everything up to the softmax: s, who is kept, who meets a bad number, softcap's slope."""
    ops, opt = case["operands"], case["options"]
    q, k, v = (ops[n].astype(dtype) for n in "qkv")
    length, keys = q.shape[-2], k.shape[-2]
    group = q.shape[-3] // k.shape[-3]
    (q, q_bad), (k, k_bad), (v, v_bad) = clean(q), clean(k), clean(v)
    k, v = (np.repeat(x, group, axis=-3) for x in (k, v))
    k_bad, v_bad = (np.repeat(x, group, axis=-2) for x in (k_bad, v_bad))
    batch = np.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3])
    shape = (*batch, q.shape[-3], length, keys)
    s = dtype(opt["scale"]) * (q @ np.swapaxes(k, -1, -2))
    slope = np.ones_like(s)
    if opt["softcap"]:
        t = np.tanh(s / dtype(opt["softcap"]))
        s, slope = dtype(opt["softcap"]) * t, 1 - t * t
    keep = np.ones(shape, bool)
    bad = q_bad[..., :, None] | k_bad[..., None, :] | v_bad[..., None, :]
    if ops["bias"] is not None:
        bias = ops["bias"].astype(dtype)
        keep &= bias != -np.inf
        bad = bad | ~np.isfinite(bias)
        s = s + np.where(np.isfinite(bias), bias, 0)
    per_entry = {
        n: np.broadcast_to(full if ops[n] is None else ops[n], batch)[..., None, None, None]
        for n, full in (("q_lengths", length), ("k_lengths", keys))
    }
    i, j = np.arange(length)[:, None], np.arange(keys)
    shift = per_entry["k_lengths"] - per_entry["q_lengths"]
    relative = i - j + (0 if opt["causal"] == "upper_left" else shift)
    if ops["slopes"] is not None:
        s = s - ops["slopes"].astype(dtype)[..., None, None] * np.abs(relative).astype(dtype)
    if ops["mask"] is not None:
        keep &= ops["mask"]
    if opt["causal"]:
        keep &= relative >= 0
    left, right = opt["window"] or (None, None)
    if left is not None:
        keep &= relative <= left
    if right is not None:
        keep &= -relative <= right
    padded = i >= per_entry["q_lengths"]
    keep &= (j < per_entry["k_lengths"]) & ~padded
    return dict(
        q=q, k=k, v=v, s=np.broadcast_to(s, shape), keep=keep, bad=(bad & keep).any(-1), slope=slope,
        padded=np.broadcast_to(padded[..., 0], shape[:-1]), distance=np.abs(relative), group=group,
    )  # fmt: skip


def oracle(case, dtype=np.float64):
    d = logits(case, dtype)
    s = np.where(d["keep"], d["s"], -np.inf)
    if case["operands"]["sink"] is not None:
        sink = np.broadcast_to(case["operands"]["sink"].astype(dtype)[..., None], s.shape[:-1])
        sink = np.where(d["padded"], -np.inf, sink)
    else:
        sink = np.full(s.shape[:-1], -np.inf, dtype)
    m = np.maximum(s.max(-1, initial=-np.inf), sink)
    m = np.where(np.isfinite(m), m, 0)
    e = np.exp(s - m[..., None])
    total = e.sum(-1) + np.exp(sink - m)
    with np.errstate(divide="ignore"):
        lse = np.log(total) + m
    p = e / np.where(total == 0, 1, total)[..., None]
    out = p @ d["v"]
    out[d["bad"]] = np.nan
    lse[d["bad"]] = np.nan
    d.update(p=p, sink=sink, out=out, lse=lse)
    return out, lse, d


def unbroadcast(g, shape):
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True).reshape(shape)


def oracle_grads(case, do, dlse, dtype=np.float64):
    out, lse, d = oracle(case, dtype)
    ops = case["operands"]
    dead = ~np.isfinite(lse)
    do = np.where(dead[..., None], 0, do.astype(dtype))
    dlse = np.where(dead, 0, dlse.astype(dtype))
    delta = (do * np.where(dead[..., None], 0, out)).sum(-1) - dlse
    p = np.where(dead[..., None], 0, d["p"])
    ds = p * (do @ np.swapaxes(d["v"], -1, -2) - delta[..., None])
    raw = dtype(case["options"]["scale"]) * ds * d["slope"]

    def kv(g, like):
        g = g.reshape(*g.shape[:-3], g.shape[-3] // d["group"], d["group"], *g.shape[-2:])
        return unbroadcast(g.sum(-3), like.shape)

    grads = dict(
        q=unbroadcast(raw @ d["k"], ops["q"].shape),
        k=kv(np.swapaxes(raw, -1, -2) @ d["q"], ops["k"]),
        v=kv(np.swapaxes(p, -1, -2) @ do, ops["v"]),
    )
    if ops["bias"] is not None:
        grads["bias"] = unbroadcast(ds, ops["bias"].shape)
    if ops["sink"] is not None:
        share = np.where(dead, 0, np.exp(d["sink"] - np.where(dead, 0, lse)))
        grads["sink"] = unbroadcast(-(share * delta).sum(-1), ops["sink"].shape)
    if ops["slopes"] is not None:
        grads["slopes"] = unbroadcast(-(ds * d["distance"]).sum((-1, -2)), ops["slopes"].shape)
    return grads


# ---- cases -----------------------------------------------------------------------------------


def make(
    batch=(2,), heads=4, kv_heads=2, length=37, keys=45, dim=16, dim_v=None, dtype=np.float32, seed=0,
    scale=None, causal=False, window=None, softcap=None, **extra,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    dim_v = dim if dim_v is None else dim_v

    def normal(*shape):
        return rng.standard_normal(shape).astype(dtype)

    ops: dict[str, Any] = dict.fromkeys(NAMES)
    ops["q"] = normal(*batch, heads, length, dim)
    ops["k"] = normal(*batch, kv_heads, keys, dim)
    ops["v"] = normal(*batch, kv_heads, keys, dim_v)
    for name, shape in extra.items():
        if name == "mask":
            ops[name] = rng.random(shape) < 0.7
        elif name in ("bias", "sink"):
            ops[name] = normal(*shape)
        elif name == "slopes":
            ops[name] = rng.random(shape).astype(dtype) / 4
        else:
            ops[name] = np.asarray(shape)
    scale = dim**-0.5 if scale is None else scale
    return {
        "operands": ops,
        "options": {"scale": scale, "causal": causal, "window": window, "softcap": softcap},
    }


def run(case, **replaced):
    return attend.forward(*{**case["operands"], **replaced}.values(), **case["options"])


def run_backward(case, do, dlse=None, needs=None):
    ops = tuple(case["operands"].values())
    outputs = run(case)
    if needs is None:
        needs = tuple(i in GRADED and x is not None for i, x in enumerate(ops))
    grads = attend.backward(ops, outputs, (do, dlse), needs, **case["options"])
    return {n: g for n, g in zip(NAMES, grads, strict=True) if g is not None}


def close(got, want, plain=None, dtype=np.float32):
    """The error rule: twice the error of plain code in the same dtype, or 4 eps of the largest value."""
    assert got.dtype == dtype
    assert got.shape == want.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(want))
    fine = np.isfinite(want)
    if not fine.any():
        return
    size = np.abs(want[fine]).max()
    bound = 4 * np.finfo(dtype).eps * size
    if plain is not None:
        bound = max(bound, 2 * np.abs(plain.astype(want.dtype)[fine] - want[fine]).max())
    assert np.abs(got.astype(want.dtype)[fine] - want[fine]).max() <= bound


B, H, L, S = 2, 4, 37, 45
CASES = {
    "plain": {},
    "one head": dict(heads=1, kv_heads=1),
    "many queries a group": dict(heads=6, kv_heads=1),
    "no batch": dict(batch=()),
    "two batch axes": dict(batch=(2, 3), length=9),
    "long": dict(batch=(1,), heads=2, kv_heads=1, length=130, keys=1100, dim=32),
    "wide": dict(dim=80, dim_v=40),
    "odd": dict(dim=3, dim_v=5),
    "dim 1": dict(dim=1, dim_v=1),
    "dim 100 and 33": dict(dim=100, dim_v=33),
    "one key": dict(keys=1),
    "one query": dict(length=1),
    "one query, many keys": dict(length=1, keys=1300, heads=8, kv_heads=2, dim=64),
    "three queries, causal": dict(length=3, keys=700, causal="lower_right"),
    "few queries, odd": dict(length=2, keys=77, dim=5, dim_v=3, window=(20, 2), softcap=2.0),
    "causal": dict(causal="lower_right"),
    "causal upper left": dict(causal="upper_left"),
    "causal, more queries": dict(length=60, keys=21, causal="lower_right"),
    "causal upper left, more queries": dict(length=60, keys=21, causal="upper_left"),
    "window": dict(window=(5, 3)),
    "left window": dict(window=(7, None), causal="lower_right"),
    "window of one": dict(window=(0, 0)),
    "long window": dict(length=150, keys=1300, window=(30, 40), batch=(1,)),
    "softcap": dict(softcap=1.5),
    "negative scale": dict(scale=-0.3),
    "scale 0": dict(scale=0.0),
    "mask": dict(mask=(B, H, L, S)),
    "key mask": dict(mask=(B, 1, 1, S)),
    "query mask": dict(mask=(L, 1)),
    "head mask": dict(mask=(H, L, S)),
    "scalar mask": dict(mask=(1, 1)),
    "bias": dict(bias=(B, H, L, S)),
    "shared bias": dict(bias=(L, S)),
    "head bias": dict(bias=(1, H, L, S)),
    "batch bias": dict(bias=(B, 1, L, S)),
    "key bias": dict(bias=(B, 1, 1, S)),
    "query bias": dict(bias=(H, L, 1)),
    "constant bias": dict(bias=(1, 1)),
    "sink": dict(sink=(H,)),
    "batch sink": dict(sink=(B, 1)),
    "slopes": dict(slopes=(H,)),
    "slopes, causal": dict(slopes=(B, H), causal="lower_right"),
    "key lengths": dict(k_lengths=[45, 13]),
    "lengths": dict(q_lengths=[30, 37], k_lengths=[45, 9], causal="lower_right"),
    "lengths, window": dict(q_lengths=[30, 5], k_lengths=[45, 40], window=(4, 2)),
    "no key is valid": dict(q_lengths=[30, 0], k_lengths=[0, 20], sink=(H,)),
    "everything": dict(
        length=50, keys=600, dim=24, dim_v=40, mask=(B, 1, 50, 600), bias=(1, H, 50, 600), sink=(H,),
        slopes=(H,), q_lengths=[50, 31], k_lengths=[600, 570], causal="lower_right", window=(300, None),
        softcap=3.0,
    ),
    "large logits": dict(scale=300.0),
}  # fmt: skip


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.mark.parametrize("name", CASES)
def test_forward(name, dtype):
    case = make(**CASES[name], dtype=dtype)
    out, lse = run(case)
    exact = np.longdouble if dtype is np.float64 else np.float64
    want_out, want_lse, _ = oracle(case, exact)
    plain_out, plain_lse, _ = oracle(case, dtype)
    close(out, want_out, plain_out, dtype)
    close(lse, want_lse, plain_lse, dtype)


@pytest.mark.parametrize("name", CASES)
def test_backward(name, dtype):
    case = make(**CASES[name], dtype=dtype)
    out, lse, _ = oracle(case)
    rng = np.random.default_rng(1)
    do = rng.standard_normal(out.shape).astype(dtype)
    dlse = rng.standard_normal(lse.shape).astype(dtype)
    exact = np.longdouble if dtype is np.float64 else np.float64
    want = oracle_grads(case, do, dlse, exact)
    plain = oracle_grads(case, do, dlse, dtype)
    got = run_backward(case, do, dlse)
    assert set(got) == set(want)
    for operand, g in got.items():
        close(g, want[operand], plain[operand], dtype)
