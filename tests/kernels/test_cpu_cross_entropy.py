"""Cross entropy of rows against plain NumPy in extended precision."""

import numpy as np
import pytest

pytest.importorskip("numba")
from anymax._cpu import pool, row_cross_entropy

ml_dtypes = pytest.importorskip("ml_dtypes")

INF, NAN = np.inf, np.nan
PLAIN = {"label_smoothing": 0.0, "lse_square_scale": 0.0, "softcap": None}


def product(a, b):
    """a * b with 0 * inf = 0."""
    with np.errstate(all="ignore"):
        return np.where(a == 0, 0, a * b)


def oracle(x, target, where, weight, row_scale, label_smoothing, lse_square_scale, softcap):
    """(loss, lse, gradient pieces) as the primitive defines them."""
    with np.errstate(all="ignore"):
        x = x.astype(np.longdouble)
        y = np.where(x == -INF, -INF, softcap * np.tanh(x / softcap)) if softcap else x
        seen = np.broadcast_to(True if where is None else where, x.shape)
        keep = (y != -INF) & seen
        low = np.where(keep, y, -INF)
        nan = np.isnan(low).any(-1)
        m = np.max(np.where(np.isnan(low), -INF, low), axis=-1, initial=-INF)
        base = np.where(m == -INF, 0, m)[..., None]
        e = np.where(keep, np.exp(low - base), 0)
        s = e.sum(-1)
        lse = np.where(nan, NAN, np.where(m == INF, INF, m + np.log(s)))
        share = label_smoothing / np.maximum(seen.sum(-1, keepdims=True), 1)
        if target.dtype.kind in "iu":
            t = (target[..., None] == np.arange(x.shape[-1])).astype(np.longdouble)
        else:
            t = target.astype(np.longdouble)
            t = np.where(seen | (t > 0), t, 0)
        t = (1 - label_smoothing) * t + np.where(seen, share, 0)
        a = t if weight is None else t * weight
        sick = np.isnan(s) | nan | (m == INF)
        loss = product(a, np.where(sick, 0, lse)[..., None] - low).sum(-1)
        loss = loss + lse_square_scale * np.where(np.isfinite(lse), lse, 0) ** 2
        loss = np.where(sick, NAN, np.where(s == 0, 0, loss))
        r = np.ones(loss.shape) if row_scale is None else row_scale
        return product(r, loss), lse, (e / np.where(s == 0, 1, s)[..., None], a, keep, sick, r, y)


def oracle_gradient(x, parts, lse, dloss, dlse, lse_square_scale, softcap, **_):
    p, a, keep, sick, r, y = parts
    with np.errstate(all="ignore"):
        g = product(r, dloss)[..., None]
        square = product(lse_square_scale, lse)[..., None]
        d = g * ((a.sum(-1, keepdims=True) + 2 * square) * p - a) + product(p, dlse[..., None])
        d = np.where(sick[..., None], NAN, d)
        if softcap:
            d = d * (1 - (y / softcap) ** 2)
        d = np.where((g == 0) & (dlse[..., None] == 0), 0, d)
        empty = ~keep.any(-1, keepdims=True)
        return np.where(keep & ~empty, d, 0)


def close(got, want, tolerance):
    got, want = np.asarray(got).astype(np.longdouble), np.asarray(want)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def draw(shape, dtype=np.float32, seed=0, spread=3.0):
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(dtype)


def check(x, target, where=None, weight=None, row_scale=None, tolerance=None, **options):
    options = PLAIN | options
    tolerance = tolerance or (4e-6 if x.dtype == np.float32 else 4e-14)
    operands = x, target, where, weight, row_scale
    loss, lse, parts = oracle(*operands, **options)
    got = row_cross_entropy.forward(*operands, **options)
    assert got[0].dtype == got[1].dtype == x.dtype
    close(got[0], loss, tolerance)
    close(got[1], lse, tolerance)
    dloss, dlse = draw(loss.shape, x.dtype, 7, 1.0), draw(loss.shape, x.dtype, 8, 1.0)
    zero = np.zeros_like(dlse)
    for dl in (None, dlse):
        dx, *rest = row_cross_entropy.backward(operands, got, (dloss, dl), (True,) * 5, **options)
        assert rest == [None] * 4
        want = oracle_gradient(x, parts, lse, dloss, zero if dl is None else dl, **options)
        close(dx, want, tolerance)
        still = ~parts[2] | (np.broadcast_to(parts[4] == 0, loss.shape)[..., None] & (dl is None))
        np.testing.assert_array_equal(dx[still], 0)
    outputs, dx = row_cross_entropy.forward_backward(operands, dloss, **options)
    np.testing.assert_array_equal(outputs[0], got[0])
    np.testing.assert_array_equal(outputs[1], got[1])
    close(dx, oracle_gradient(x, parts, lse, dloss, zero, **options), tolerance)
    return got


def targets(kind, shape, dtype, seed=2):
    rng = np.random.default_rng(seed)
    if kind == "soft":
        t = rng.random(shape).astype(dtype)
        t[t < 0.3] = 0
        t[:, 0] += 0.1
        return t / t.sum(-1, keepdims=True)
    return rng.integers(0, shape[-1], shape[:-1]).astype(kind)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["int64", "int32", "soft"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("n", [1, 3, 17, 64, 1000, 1500])
def test_values_and_gradients(dtype, kind, smoothing, n):
    x = draw((6, n), dtype)
    t = targets(kind, x.shape, dtype)
    weight = np.random.default_rng(4).random(n).astype(dtype)
    row_scale = np.array([1, 0, 0.5, 2, 0, 1], dtype)
    check(x, t, label_smoothing=smoothing)
    check(x, t, None, weight, row_scale, label_smoothing=smoothing, lse_square_scale=1e-2)
    check(x, t, None, None, row_scale, label_smoothing=smoothing, softcap=5.0)


@pytest.mark.parametrize("kind", ["int64", "soft"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("masked", ["cells", "rows", "columns", "all"])
def test_masks(kind, smoothing, masked):
    x = draw((8, 40), np.float64)
    t = targets(kind, x.shape, np.float64)
    where = {
        "cells": draw(x.shape, seed=3) > -2.0,
        "rows": (np.arange(8) % 3 > 0)[:, None],
        "columns": draw((40,), seed=3) > -3.0,
        "all": np.zeros((1, 1), bool),
    }[masked]
    dead = ~np.broadcast_to(where, x.shape)
    if kind == "soft":
        t[dead] = 0
        t[0, np.argmax(dead[0])] = 0.5  # a target on a class that may be masked costs inf
    weight = np.random.default_rng(4).random(40)
    for cap in (None, 4.0):
        check(x, t, where, None, label_smoothing=smoothing, softcap=cap)
        check(x, t, where, weight, label_smoothing=smoothing, softcap=cap)
    hidden = x.copy()
    hidden[dead] = NAN
    want = check(x, t, where, label_smoothing=smoothing)
    got = check(hidden, t, where, label_smoothing=smoothing)
    np.testing.assert_array_equal(got[0], want[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("softcap", [None, 10.0])
def test_edges(dtype, smoothing, softcap):
    rows = [
        [-INF, 2.0, 1.0, 0.0],
        [1.0, -INF, 1.0, 0.0],
        [-INF, -INF, -INF, -INF],
        [INF, 1.0, 0.0, -INF],
        [1.0, INF, 0.0, -INF],
        [NAN, 1.0, 0.0, -INF],
        [1.0, 1.0, NAN, INF],
        [1e4, 1e4, -1e4, 0.0],
    ]
    x = np.array(rows, dtype)
    one = np.ones(len(x), np.int64)
    weight = np.array([1.0, 0.5, 2.0, 0.0], dtype)
    zero = np.zeros(len(x), dtype)
    for scale in (None, zero):
        for given in (None, weight):
            options = {"label_smoothing": smoothing, "softcap": softcap}
            check(x, one, None, given, scale, **options)
            check(x, one, np.arange(4) < 3, given, scale, **options)


def test_nan_target_off_the_mask_takes_no_part():
    x = draw((1, 3), np.float64)
    t = np.array([[0.5, 0.5, NAN]])
    where = np.array([True, True, False])
    loss, _ = row_cross_entropy.forward(x, t, where, None, None, **PLAIN)
    assert np.isfinite(loss).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (0,)])
def test_nothing(shape):
    x = np.empty(shape, np.float32)
    target = np.zeros(shape[:-1], np.int64)
    operands = x, target, None, None, None
    loss, lse = row_cross_entropy.forward(*operands, **PLAIN)
    assert (loss == 0).all()
    assert (lse == -INF).all()
    assert row_cross_entropy.forward_backward(operands, 1.0, **PLAIN)[1].shape == shape


def test_shapes_layouts_and_a_number_as_hint():
    x = draw((2, 3, 4, 10), np.float32)
    t = targets("int64", x.shape, np.float32)
    check(x, t)
    check(x[0, 0, 0], t[0, 0, 0])
    moved = np.asfortranarray(x)[:, ::-1]
    moved.flags.writeable = False
    before = moved.copy()
    check(moved, t.transpose(2, 1, 0).copy().transpose(2, 1, 0))
    np.testing.assert_array_equal(moved, before)
    operands = x, t, None, None, None
    by_number = row_cross_entropy.forward_backward(operands, 0.25, **PLAIN)[1]
    by_array = row_cross_entropy.forward_backward(operands, np.full(t.shape, 0.25), **PLAIN)[1]
    np.testing.assert_array_equal(by_number, by_array)
    broadcast = np.broadcast_to(np.float32(0.25), t.shape)
    outputs = row_cross_entropy.forward(*operands, **PLAIN)
    dx = row_cross_entropy.backward(operands, outputs, (broadcast, None), (True,) * 5, **PLAIN)[0]
    np.testing.assert_allclose(dx, by_number, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_halves_round_once(dtype):
    x = draw((5, 50)).astype(dtype)
    t = targets("int64", x.shape, np.float32)
    wide = x.astype(np.float32)
    got, dx = row_cross_entropy.forward_backward((x, t, None, None, None), 1.0, **PLAIN)
    want, dwide = row_cross_entropy.forward_backward((wide, t, None, None, None), 1.0, **PLAIN)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, dwide.astype(dtype))
    for a, b in zip(got, want, strict=True):  # statistics, which the form rounds once
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
    soft = targets("soft", x.shape, np.float32).astype(dtype)
    loss, _ = row_cross_entropy.forward(x, soft, None, None, None, **PLAIN)
    again, _ = row_cross_entropy.forward(wide, soft.astype(np.float32), None, None, None, **PLAIN)
    np.testing.assert_array_equal(loss, again)


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_torch(name):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(draw((6, 30))).to(getattr(torch, name))
    t = torch.arange(6)
    scale = torch.full((6,), 1 / 6).to(x.dtype)
    (loss, lse), dx = row_cross_entropy.forward_backward((x, t, None, None, scale), 1.0, **PLAIN)
    z = x.double().requires_grad_()
    want = torch.nn.functional.cross_entropy(z, t)
    want.backward()
    error = {"float16": 2e-3, "bfloat16": 2e-2}.get(name, 1e-6)
    assert dx.dtype == x.dtype
    assert loss.dtype == lse.dtype == (torch.float64 if name == "float64" else torch.float32)
    torch.testing.assert_close(loss.double().sum(), want.detach(), rtol=error, atol=error)
    torch.testing.assert_close(dx.double(), z.grad, rtol=error, atol=error)


def test_same_bits_for_any_number_of_threads():
    x = draw((400, 900))
    t = targets("int64", x.shape, np.float32)
    results = []
    try:
        for threads in (1, 2, 3):
            pool.set_num_threads(threads)
            operands = x, t, None, None, None
            (loss, _), dx = row_cross_entropy.forward_backward(operands, 1.0, **PLAIN)
            results.append((loss, dx))
    finally:
        pool.set_num_threads(None)
    for loss, dx in results[1:]:
        np.testing.assert_array_equal(loss, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])
