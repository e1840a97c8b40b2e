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
    group = q.shape[-3] // max(k.shape[-3], 1)
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
        q=q, k=k, v=v, s=np.broadcast_to(s, shape), keep=keep, bad=(bad & keep).any(-1),
        slope=slope,
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
    p = np.where(
        d["keep"] & ~dead[..., None], np.exp(d["s"] - np.where(dead, 0, lse)[..., None]), 0
    )
    ds = p * (do @ np.swapaxes(d["v"], -1, -2) - delta[..., None])
    raw = dtype(case["options"]["scale"]) * ds * d["slope"]

    def kv(g, like):
        g = g.reshape(
            *g.shape[:-3], g.shape[-3] // max(d["group"], 1), max(d["group"], 1), *g.shape[-2:]
        )
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
    batch=(2,), heads=4, kv_heads=2, length=37, keys=45, dim=16, dim_v=None, dtype=np.float32,
    seed=0, scale=None, causal=False, window=None, softcap=None, **extra,
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


def close(got, want, plain=None, dtype=np.float32, slack=4.0):
    """The error rule: twice the error of plain code in the same dtype, or 4 eps of the largest."""
    assert got.dtype == dtype
    assert got.shape == want.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(want))
    fine = np.isfinite(want)
    if not fine.any():
        return
    size = np.abs(want[fine]).max()
    bound = slack * np.finfo(dtype).eps * size
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
        length=50, keys=600, dim=24, dim_v=40, mask=(B, 1, 50, 600), bias=(1, H, 50, 600),
        sink=(H,),
        slopes=(H,), q_lengths=[50, 31], k_lengths=[600, 570], causal="lower_right", window=(300,
        None), softcap=3.0,
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
    # weights come from exp(s - lse), and lse comes rounded: relative error up to eps |lse| / 2
    slack = 4 + np.abs(lse[np.isfinite(lse)]).max(initial=0)
    for operand, g in got.items():
        close(g, want[operand], plain[operand], dtype, slack)


def test_gradients_match_finite_differences():
    case = make(
        batch=(2,), heads=2, kv_heads=1, length=5, keys=7, dim=3, dim_v=2, dtype=np.float64,
        causal="lower_right", softcap=1.5, bias=(2, 5, 7), sink=(2,), slopes=(2,), mask=(5, 7),
    )  # fmt: skip
    rng = np.random.default_rng(3)
    out, lse = run(case)
    do, dlse = rng.standard_normal(out.shape), rng.standard_normal(lse.shape)
    dlse[np.isneginf(lse)] = 0

    def value(**replaced):
        o, n = run(case, **replaced)
        return (o * do).sum() + (np.where(np.isneginf(n), 0, n) * dlse).sum()

    for name, g in run_backward(case, do, dlse).items():
        x = case["operands"][name]
        step = rng.standard_normal(x.shape)
        there = (value(**{name: x + 1e-5 * step}) - value(**{name: x - 1e-5 * step})) / 2e-5
        np.testing.assert_allclose((g * step).sum(), there, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("length", [3, 40], ids=["thin", "strips"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_numbers_reach_only_those_who_attend_them(length, bad):
    case = make(length=length, keys=600, causal="lower_right", q_lengths=[length, length - 1])
    ops = case["operands"]
    clean_out, _ = run(case)
    for name in "qkv":
        ops[name] = ops[name].copy()
    ops["k"][0, 0, 598, 3] = bad  # seen by the last two queries of heads 0 and 1
    ops["v"][0, 1, 599, 0] = bad  # seen by the last query of heads 2 and 3
    ops["q"][1, 2, length - 1] = bad  # a padded query
    ops["q"][1, 3, 0] = bad  # a query that attends
    out, lse = run(case)
    hit = np.zeros(lse.shape, bool)
    hit[0, :2, -2:] = hit[0, 2:, -1] = hit[1, 3, 0] = True
    np.testing.assert_array_equal(np.isnan(lse), hit)
    np.testing.assert_array_equal(np.isnan(out), np.broadcast_to(hit[..., None], out.shape))
    np.testing.assert_array_equal(out[~hit], clean_out[~hit])
    do = np.ones_like(out)
    do[hit] = np.nan  # what a loss on such rows would send back
    got = run_backward(case, do)
    want = oracle_grads(case, np.where(hit[..., None], 0, do), np.zeros_like(lse))
    for name, g in got.items():
        assert np.isfinite(g).all()
        close(g, want[name], slack=16)
        assert not g[~np.isfinite(ops[name]).all(-1)].any()


@pytest.mark.parametrize("length", [2, 30], ids=["thin", "strips"])
def test_bias_masks_and_poisons(length):
    case = make(length=length, keys=40, heads=2, bias=(length, 40))
    bias = case["operands"]["bias"]
    bias[0], bias[1, 3], bias[1, 5] = -np.inf, np.nan, np.inf
    case["operands"]["mask"] = mask = np.ones((2, 1, length, 40), bool)
    mask[0, :, 1, [3, 5]] = False
    out, lse = run(case)
    assert not out[:, :, 0].any()
    assert np.isneginf(lse[:, :, 0]).all()
    assert np.isfinite(out[0]).all()
    assert np.isnan(out[1, :, 1]).all()
    assert np.isnan(lse[1, :, 1]).all()
    got = run_backward(case, np.ones_like(out), np.ones_like(lse))
    assert all(np.isfinite(g).all() for g in got.values())
    assert not got["bias"][0].any()


@pytest.mark.parametrize("length", [3, 30], ids=["thin", "strips"])
def test_rows_without_keys(length):
    case = make(length=length, keys=20, mask=(length, 20))
    case["operands"]["mask"][1] = False
    out, lse = run(case)
    assert not out[:, :, 1].any()
    assert np.isneginf(lse[:, :, 1]).all()
    got = run_backward(case, np.ones_like(out), np.ones_like(lse))
    assert not got["q"][:, :, 1].any()
    sink = np.asarray([0.5, -1.0, -np.inf, 2.0], np.float32)
    out, lse = run(case, sink=sink)
    assert not out[:, :, 1].any()
    np.testing.assert_array_equal(lse[:, :, 1], np.broadcast_to(sink, (2, 4)))


def test_sink_of_minus_infinity_is_no_sink():
    case = make()
    plain = run(case)
    out, lse = run(case, sink=np.full(4, -np.inf, np.float32))
    np.testing.assert_array_equal(out, plain[0])
    np.testing.assert_array_equal(lse, plain[1])


SHAPES = [
    dict(length=0), dict(keys=0), dict(keys=0, length=2), dict(batch=(0,)), dict(heads=0,
    kv_heads=0), dict(dim_v=0), dict(dim_v=0, length=2), dict(keys=0, sink=(4,)),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_empty(shape):
    case = make(**shape)
    out, lse = run(case)
    want, want_lse, _ = oracle(case)
    close(out, want)
    close(lse, want_lse)
    got = run_backward(case, np.ones_like(out), np.ones_like(lse))
    for name, g in got.items():
        assert g.shape == case["operands"][name].shape
        assert np.isfinite(g).all()


def test_batch_axes_broadcast():
    case = make(batch=(3, 1), length=11, keys=13)
    rng = np.random.default_rng(5)
    ops = case["operands"]
    ops["k"] = rng.standard_normal((2, 2, 13, 16)).astype(np.float32)
    ops["v"] = rng.standard_normal((3, 2, 2, 13, 16)).astype(np.float32)
    out, lse = run(case)
    want, want_lse, _ = oracle(case)
    close(out, want)
    close(lse, want_lse)
    do, dlse = np.ones_like(out), np.ones_like(lse)
    want_grads = oracle_grads(case, do, dlse)
    for name, g in run_backward(case, do, dlse).items():
        close(g, want_grads[name], slack=16)


def odd_layouts(x, rng):
    """The same numbers transposed, stepped, reversed, and read-only."""
    swapped = np.swapaxes(np.ascontiguousarray(np.swapaxes(x, -1, -2)), -1, -2)
    room = rng.standard_normal((*x.shape[:-1], 2 * x.shape[-1])).astype(x.dtype)
    stepped = room[..., ::2]
    stepped[...] = x
    turned = np.ascontiguousarray(x[..., ::-1, ::-1])[..., ::-1, ::-1]
    fixed = x.copy()
    fixed.flags.writeable = False
    return swapped, stepped, turned, fixed


@pytest.mark.parametrize("length", [3, 30], ids=["thin", "strips"])
def test_layouts(length):
    case = make(
        length=length, keys=70, dim=16, bias=(4, length, 70), mask=(2, 1, length, 70), sink=(4,)
    )  # fmt: skip
    ops = case["operands"]
    out, lse = run(case)
    do = np.random.default_rng(4).standard_normal(out.shape).astype(np.float32)
    grads = run_backward(case, do)
    rng = np.random.default_rng(6)
    copies = {n: odd_layouts(ops[n], rng) for n in ("q", "k", "v", "bias")}
    copies["mask"] = [x.astype(bool) for x in (ops["mask"],) * 4]
    copies["mask"][1] = np.repeat(ops["mask"], 2, axis=-1)[..., ::2]
    for i in range(4):
        other = {
            "operands": {**ops, **{n: c[i] for n, c in copies.items()}},
            "options": case["options"],
        }
        before = {n: None if x is None else x.copy() for n, x in other["operands"].items()}
        again = run(other)
        np.testing.assert_array_equal(again[0], out)
        np.testing.assert_array_equal(again[1], lse)
        for name, g in run_backward(other, odd_layouts(do, rng)[i]).items():
            np.testing.assert_array_equal(g, grads[name])
        for name, x in other["operands"].items():
            np.testing.assert_array_equal(x, before[name])


def test_views_that_repeat_memory():
    case = make(keys=50, mask=(1, 1, 1, 50), bias=(1, 1, 37, 1))
    ops = case["operands"]
    out, _ = run(case)
    wide = {
        "mask": np.broadcast_to(ops["mask"], (2, 4, 37, 50)),
        "bias": np.broadcast_to(ops["bias"], (2, 4, 37, 50)),
    }
    np.testing.assert_array_equal(run(case, **wide)[0], out)


def test_threads_do_not_change_a_bit():
    case = make(
        batch=(1,), heads=4, kv_heads=2, length=150, keys=1500, dim=32, causal="lower_right",
        bias=(1, 1, 150, 1500), slopes=(4,), sink=(4,),
    )  # fmt: skip
    decode = make(batch=(1,), length=1, keys=5000)
    found = []
    try:
        for threads in (1, 2, 3):
            pool.set_num_threads(threads)
            outputs = run(case)
            do = np.random.default_rng(7).standard_normal(outputs[0].shape).astype(np.float32)
            grads = run_backward(case, do, outputs[1])
            found.append([*outputs, *grads.values(), *run(decode)])
    finally:
        pool.set_num_threads(None)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("needed", list(itertools.combinations(GRADED, 1)) + [(0, 4), (1, 2)])
def test_only_what_is_needed(needed):
    case = make(bias=(4, 37, 45), sink=(4,), slopes=(4,))
    out, lse = run(case)
    full = run_backward(case, np.ones_like(out), lse)
    some = run_backward(case, np.ones_like(out), lse, tuple(i in needed for i in range(9)))
    assert list(some) == [NAMES[i] for i in needed]
    for name, g in some.items():
        np.testing.assert_array_equal(g, full[name])


def test_missing_cotangents_are_zero():
    case = make()
    out, lse = run(case)
    g = np.random.default_rng(8).standard_normal(out.shape).astype(np.float32)
    for one, other in (
        ((g, None), (g, np.zeros_like(lse))),
        ((None, lse), (np.zeros_like(out), lse)),
    ):
        first, second = run_backward(case, *one), run_backward(case, *other)
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_half_precision_is_rounded_once():
    case = make(dtype=np.float16)
    wide = make(dtype=np.float16)
    wide["operands"] = {
        n: None if x is None else x.astype(np.float32) for n, x in case["operands"].items()
    }
    out, lse = run(case)
    want, want_lse = run(wide)
    assert lse.dtype == np.float32
    np.testing.assert_array_equal(out, want.astype(np.float16))
    np.testing.assert_array_equal(lse, want_lse)
    for name, g in run_backward(case, np.ones_like(out)).items():
        assert g.dtype == np.float16
        assert np.isfinite(g).all(), name


@pytest.mark.parametrize("dtype_name", ["float32", "float64", "float16", "bfloat16"])
def test_torch_tensors(dtype_name):
    torch = pytest.importorskip("torch")
    case = make(causal="lower_right", mask=(37, 45), k_lengths=[45, 20])
    ops = {n: x if x is None else torch.from_numpy(x.copy()) for n, x in case["operands"].items()}
    for n in "qkv":
        ops[n] = ops[n].to(getattr(torch, dtype_name))
        case["operands"][n] = ops[n].double().numpy()
    held = {"operands": ops, "options": case["options"]}
    out, lse = run(held)
    assert out.dtype == ops["q"].dtype
    tolerance = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[dtype_name]
    want, want_lse, _ = oracle(case)
    np.testing.assert_allclose(out.double().numpy(), want, atol=tolerance)
    np.testing.assert_allclose(lse.double().numpy(), want_lse, atol=tolerance)
    got = run_backward(held, torch.ones_like(out), needs=tuple(i < 3 for i in range(9)))
    for name, g in oracle_grads(case, np.ones(want.shape), np.zeros(want_lse.shape)).items():
        assert got[name].dtype == ops["q"].dtype
        np.testing.assert_allclose(got[name].double().numpy(), g, atol=8 * tolerance)
