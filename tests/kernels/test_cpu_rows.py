"""Row kernels against plain float64 NumPy: values, gradients, masks, layouts, dtypes."""

import math

import numpy as np
import pytest

pytest.importorskip("numba")
from anymax._cpu import blocks, pool, row_logsumexp, row_softmax

ml_dtypes = pytest.importorskip("ml_dtypes")

INF, NAN = np.inf, np.nan
MODULES = {"softmax": row_softmax, "log_softmax": row_softmax, "logsumexp": row_logsumexp}
FORMS = list(MODULES)
FLOATS = [np.float32, np.float64]
HALVES = [np.float16, ml_dtypes.bfloat16]
EDGES = np.array(
    [
        [1.0, 2.0, 3.0, -1.0, 0.5],
        [-INF, 2.0, -INF, 1.0, 0.0],
        [-INF, -INF, -INF, -INF, -INF],
        [INF, 1.0, -INF, 0.0, 2.0],
        [NAN, 1.0, -INF, 0.0, 2.0],
        [NAN, INF, -INF, 0.0, 2.0],
        [NAN, NAN, NAN, NAN, NAN],
        [1e4, 1e4, 1e4 - 1.0, -1e4, 0.0],
        [2e38, -2e38, 0.0, 1.0, 2e38],
        [-2e38, -2e38, -INF, -2e38, -2e38],
        [0.0, -87.5, -90.0, -103.0, -110.0],
    ]
)


def oracle(form, x, where, axis, scale):
    """The policy, written out in extended precision."""
    with np.errstate(all="ignore"):
        z = x.astype(np.longdouble) * np.longdouble(scale)
        keep = z != -INF
        if where is not None:
            keep = keep & where
        low = np.where(keep, z, -INF)
        m = np.max(np.where(np.isnan(low), -INF, low), axis=axis, keepdims=True, initial=-INF)
        base = np.where(m == -INF, 0.0, m)
        e = np.where(keep, np.exp(low - base), 0.0)
        s = e.sum(axis=axis, keepdims=True)
        if form == "softmax":
            return np.where(keep, e / np.where(s == 0, 1, s), 0.0)
        nan = np.any(np.isnan(low), axis=axis, keepdims=True)
        top = keep & (low == base)
        count = np.maximum(top.sum(axis=axis, keepdims=True), 1)
        rest = np.where(top, 0.0, e).sum(axis=axis, keepdims=True)
        fine = np.where(s > 0, np.log(count) + np.log1p(rest / count), -INF) + m
        lse = np.where((m == INF) & ~nan, INF, np.where(np.isfinite(m) & ~nan, fine, np.log(s) + m))
        if form == "logsumexp":
            return np.squeeze(lse, axis)
        bad = np.isnan(s)
        return np.where(keep, np.where(bad, NAN, low - base - np.log(s)), -INF)


def oracle_gradient(form, x, where, g, axis, scale):
    with np.errstate(all="ignore"):
        p = oracle("softmax", x, where, axis, scale)
        keep = scale * x.astype(np.longdouble) != -INF
        if where is not None:
            keep = keep & where
        g = g.astype(np.longdouble)
        if form == "logsumexp":
            dz = p * np.expand_dims(g, axis)
        elif form == "softmax":
            t = np.where(p != 0, p * g, 0)
            dz = p * (g - t.sum(axis=axis, keepdims=True))
        else:
            dz = g - p * np.where(keep, g, 0).sum(axis=axis, keepdims=True)
        return np.where(keep & (p != 0) if form == "softmax" else keep, scale * dz, 0.0)


def call(form, x, where=None, axis=(-1,), scale=1.0):
    axis = tuple(sorted(i % x.ndim for i in axis))
    return getattr(MODULES[form], form)(x, where, axis=axis, scale=scale)


def pull(form, x, where, out, g, axis=(-1,), scale=1.0):
    axis = tuple(sorted(i % x.ndim for i in axis))
    f = getattr(MODULES[form], f"{form}_backward")
    dx, dwhere = f((x, where), (out,), (g,), (True, False), axis=axis, scale=scale)
    assert dwhere is None
    return dx


def close(got, want, dtype, factor=4.0, floor=0.0):
    """Same NaN and inf, exact zeros, and an error of a few units in the last place of `dtype`."""
    eps = float(ml_dtypes.finfo(dtype).eps)
    tiny = float(ml_dtypes.finfo(dtype).smallest_subnormal)
    got, want = np.asarray(got).astype(np.longdouble), np.asarray(want)
    assert got.shape == want.shape
    with np.errstate(all="ignore"):
        want = np.where(np.abs(want) > float(ml_dtypes.finfo(dtype).max), np.sign(want) * INF, want)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)])
    got, want = got[finite], want[finite]
    np.testing.assert_array_equal(got[want == 0], 0)
    error = np.abs(got - want) - factor * eps * (np.abs(want) + floor) - 2 * tiny
    assert error.max(initial=0.0) <= 0, (error.argmax(), got[error.argmax()], want[error.argmax()])


def draw(shape, dtype, seed=0, spread=3.0):
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(dtype)


def check(form, x, where=None, axis=(-1,), scale=1.0, dtype=None):
    """Value and gradient of one call; the argument of exp is as good as its dtype, hence spread."""
    dtype = dtype or x.dtype
    out = call(form, x, where, axis, scale)
    assert out.dtype == x.dtype
    axes = tuple(sorted(i % x.ndim for i in axis))
    wide = x.astype(np.float64)
    want = oracle(form, wide, where, axes, scale)
    live = np.abs(wide[np.isfinite(wide)] * scale)
    spread = min(float(live.max(initial=0.0)), 200.0)
    factor = 4.0 + (2 * spread if dtype in FLOATS else 0)
    close(out, want, dtype, factor, floor=1.0 if form != "softmax" else 0.0)
    g = draw(out.shape, x.dtype, seed=5, spread=1.0)
    got = pull(form, x, where, out, g, axis, scale)
    assert got.dtype == x.dtype
    assert got.shape == x.shape
    return out, got, g


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scale", [1.0, 0.25, -1.5])
@pytest.mark.parametrize("masked", [None, "cells", "rows", "columns", "all"])
def test_edges(form, dtype, scale, masked):
    x = EDGES.astype(dtype)
    where = {
        None: None,
        "cells": draw(x.shape, float, seed=3) > -1.0,
        "rows": (np.arange(len(x)) % 3 > 0)[:, None],
        "columns": np.array([True, True, False, True, False]),
        "all": np.zeros((1, 1), bool),
    }[masked]
    keep = np.broadcast_to(True if where is None else where, x.shape)
    out, got, g = check(form, x, keep if where is not None else None, scale=scale)
    with np.errstate(all="ignore"):
        want = oracle_gradient(form, x.astype(np.float64), keep, g, (1,), scale)
    fine = np.isfinite(x).all(axis=1) & (np.abs(x) < 1e3).all(axis=1)
    close(got[fine], want[fine], dtype, 60.0, floor=1.0)
    dead = ~keep | (scale * x == -INF)
    np.testing.assert_array_equal(got[dead], 0)
    # the same mask, not broadcast: the same bits
    if where is not None:
        np.testing.assert_array_equal(call(form, x, where, scale=scale), out)
    # live cells of rows with NaN or inf
    if form != "log_softmax":
        with np.errstate(all="ignore"):
            z = np.where(keep, scale * x, -INF)
        sick = np.isnan(z).any(axis=1) | (z == INF).any(axis=1)
        assert np.isnan(got[sick][~dead[sick]]).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [1, 2, 7, 8, 15, 16, 17, 63, 64, 100, 511, 513, 1023, 1025, 3000])
def test_lengths(form, dtype, n):
    x = draw((5, n), dtype)
    for where in (None, draw((5, n), float, seed=1) > -2.0, draw((n,), float, seed=1) > -2.0):
        _, got, g = check(form, x, None if where is None else np.broadcast_to(where, x.shape))
        want = oracle_gradient(form, x.astype(np.float64), where, g, (1,), 1.0)
        close(got, want, dtype, 100.0, floor=1.0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("axis", [(0,), (1,), (2,), (0, 2), (0, 1), (0, 1, 2), ()])
def test_axes(form, axis):
    x = draw((4, 5, 6), np.float32)
    where = draw((5, 1), float, seed=1) > -1.0
    for mask in (None, np.broadcast_to(where, x.shape)):
        _, got, g = check(form, x, mask, axis)
        want = oracle_gradient(form, x.astype(np.float64), mask, g, axis, 1.0)
        close(got, want, np.float32, 60.0, floor=1.0)


@pytest.mark.parametrize("form", FORMS)
def test_layouts(form):
    x = draw((6, 10), np.float32)
    want = call(form, x)
    base = np.zeros((12, 30), np.float32)
    base[::2, ::3] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    layouts = {
        "transposed": np.asfortranarray(x),
        "stepped": base[::2, ::3],
        "negative": x[::-1, ::-1].copy()[::-1, ::-1],
        "read-only": frozen,
        "big-endian": x.astype(">f4"),
    }
    for name, y in layouts.items():
        before = y.copy()
        out = call(form, y)
        np.testing.assert_array_equal(out, want, err_msg=name)
        np.testing.assert_array_equal(y, before, err_msg=name)
        assert not np.may_share_memory(out, y)
        g = np.broadcast_to(np.float32(1.5), out.shape)
        np.testing.assert_array_equal(
            pull(form, y, None, out, g), pull(form, x, None, want, g.copy()), err_msg=name
        )
    flat = call(form, np.broadcast_to(np.float32(2.0), (3, 4)))
    np.testing.assert_array_equal(flat, call(form, np.full((3, 4), 2.0, np.float32)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0), (2, 0, 3)])
def test_nothing(form, shape):
    x = np.empty(shape, np.float32)
    out = call(form, x)
    if form == "logsumexp":
        assert out.shape == shape[:-1]
        assert (out == -INF).all()
    else:
        assert out.shape == shape
    assert pull(form, x, None, out, np.ones_like(out)).shape == shape


@pytest.mark.parametrize("form", FORMS)
def test_zero_dimensions(form):
    out = call(form, np.float32(3.0).reshape(()), axis=())
    assert out.shape == ()
    assert float(out) == {"softmax": 1.0, "log_softmax": 0.0, "logsumexp": 3.0}[form]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", HALVES)
def test_halves(form, dtype):
    x = draw((7, 130), np.float32).astype(dtype)
    where = draw(x.shape, float, seed=1) > -2.0
    for mask in (None, where):
        _, got, g = check(form, x, mask)
        p = call("softmax", x.astype(np.float32), mask)
        assert np.isfinite(got.astype(np.float32)).all()
        if form == "logsumexp":  # lse comes back rounded to the half type
            continue
        saved = call(form, x, mask).astype(np.float32)
        want = pull(form, x.astype(np.float32), mask, saved, g.astype(np.float32))
        np.testing.assert_array_equal(got, want.astype(dtype))
        assert (got.astype(np.float32)[p == 0] == 0).all()
    with np.errstate(over="ignore"):
        edge = EDGES.astype(dtype)
    close(call(form, edge), oracle(form, edge.astype(np.float64), None, (1,), 1.0), dtype, 1.0)


def test_equal_logits_in_half_precision():
    p = call("softmax", np.zeros((1, 70_000), np.float16))
    assert (p == np.float16(1 / 70_000)).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16])
def test_huge_rows(form, dtype, monkeypatch):
    monkeypatch.setattr(blocks, "CHUNK", 1000)
    monkeypatch.setattr(blocks, "_LONG", 2000)
    x = draw((6, 5300), np.float32).astype(dtype)
    x[1] = -INF
    x[2, 4000], x[3, 2500], x[4, 10], x[4, 5000] = INF, NAN, NAN, INF
    x[5, :3000] = -INF
    where = draw(x.shape, float, seed=1) > -3.0
    for mask in (None, where, where[:1], where[:, :1]):
        full = None if mask is None else np.broadcast_to(mask, x.shape)
        out, got, g = check(form, x, full)
        if dtype in FLOATS:
            want = oracle_gradient(form, x.astype(np.float64), full, g, (1,), 1.0)
            rows = [0, 1, 5]
            close(got[rows], want[rows], dtype, 300.0, floor=1.0)
        again = call(form, x, mask).astype(np.float64)
        np.testing.assert_array_equal(again, out.astype(np.float64))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(300, 700), (3, 140_000), (40_000, 8)])
def test_same_bits_for_any_number_of_threads(form, shape):
    x = draw(shape, np.float32)
    results = []
    try:
        for threads in (1, 2, 3):
            pool.set_num_threads(threads)
            out = call(form, x)
            results.append((out, pull(form, x, None, out, np.ones_like(out))))
    finally:
        pool.set_num_threads(None)
    for out, dx in results[1:]:
        np.testing.assert_array_equal(out, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])


def test_sums_of_many_cells_stay_accurate():
    x = draw((1, 32_000), np.float32, spread=1.0)
    s = float(call("softmax", x).astype(np.float64).sum())
    assert abs(s - 1) < 3e-7


def test_lane_is_softmax():
    for shape in ((4, 8), (8,), (2, 3, 5), (300, 100)):
        for dtype in FLOATS:
            x = draw(shape, dtype)
            np.testing.assert_array_equal(row_softmax.lane(x), call("softmax", x))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_torch(form, name):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(draw((3, 4, 50), np.float32)).to(getattr(torch, name))
    where = torch.arange(50) % 7 != 0
    for mask in (None, where):
        out = call(form, x, mask, (1,) if mask is None else (2,))
        assert isinstance(out, torch.Tensor)
        assert out.dtype == x.dtype
        axis = 1 if mask is None else 2
        z = x.double() if mask is None else x.double().masked_fill(~mask, -math.inf)
        want = getattr(torch, form)(z, axis)
        error = 8e-3 if name == "bfloat16" else 1e-3 if name == "float16" else 2e-6
        torch.testing.assert_close(out.double(), want, rtol=error, atol=error)
        dx = pull(form, x, mask, out, torch.ones_like(out), (axis,))
        assert dx.dtype == x.dtype


def test_no_cotangent_means_no_gradient():
    x = draw((2, 3), np.float32)
    for form in FORMS:
        out = call(form, x)
        f = getattr(MODULES[form], f"{form}_backward")
        given = {"axis": (1,), "scale": 1.0}
        assert f((x, None), (out,), (out,), (False, False), **given) == (None, None)
        assert (f((x, None), (out,), (None,), (True, False), **given)[0] == 0).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rest", [[-40.0], [-40.0, -INF, -50.0], []])
def test_logsumexp_near_zero_keeps_its_digits(dtype, rest):
    x = np.array([[0.0, *rest], [-1e-3, *rest]], dtype)
    want = [math.log1p(sum(math.exp(z) for z in rest)), None]
    want[1] = -1e-3 + math.log1p(sum(math.exp(z + 1e-3) for z in rest))
    got = row_logsumexp.logsumexp(x, None, axis=1, scale=1.0)
    np.testing.assert_allclose(got, want, rtol=1e-6 if dtype == np.float32 else 1e-14)
