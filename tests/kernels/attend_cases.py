"""Attention calls worth testing, and the comparison of one call with the oracle."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from anymax._cuda import attend
from kernels.attend_oracle import NAMES, Attention, close
from kernels.oracles import TRUTH

DTYPES = {
    "float32": np.float32, "float64": np.float64,
    "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
}  # fmt: skip


def numbers(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def qkv(dtype, *, batch=(2,), heads=(2, 1), rows=37, cols=70, depth=16, depth_v=16):
    """Random q, k and v; `heads` is (query heads, key heads)."""
    q_heads, k_heads = heads
    return (
        numbers((*batch, q_heads, rows, depth), dtype, 0),
        numbers((*batch, k_heads, cols, depth), dtype, 1),
        numbers((*batch, k_heads, cols, depth_v), dtype, 2),
    )


def operands_of(base, **given):
    return (*base, *(given.get(name) for name in NAMES[3:]))


class HostArrays:
    """What the shim takes: NumPy arrays as they are."""

    @staticmethod
    def to_device(x):
        return x

    to_host = to_device


def check(operands, launcher, *, library=HostArrays, scale=0.3, **options):
    """Compare values and all gradients with the oracle; nothing may be written to the operands.

    `library` moves arrays to where the kernels run, and back.
    """
    options = {"scale": scale, **options}
    before = [None if x is None else x.copy() for x in operands]
    dtype = operands[0].dtype
    wide = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    truth, plain = (Attention(operands, t, **options).hide_rows(operands[7]) for t in (TRUTH, wide))
    device = tuple(map(library.to_device, operands))
    outputs = attend.forward(*device, launcher=launcher, **options)
    out, lse = map(library.to_host, outputs)
    assert out.dtype == dtype
    assert lse.dtype == wide
    assert out.shape == truth.out.shape
    close(out, truth.out, plain.out, dtype, "out")
    close(lse, truth.lse, plain.lse, wide, "lse")

    dout, dlse = numbers(out.shape, dtype, 8), numbers(lse.shape, wide, 9)
    dout[~np.isfinite(lse)] = np.nan  # rows without a gradient must ignore what comes in
    needs = tuple(name in ("q", "k", "v", "bias", "sink", "slopes") for name in NAMES)
    cotangents = tuple(map(library.to_device, (dout, dlse)))
    grads = attend.backward(device, outputs, cotangents, needs, launcher=launcher, **options)
    grads = tuple(None if g is None else library.to_host(g) for g in grads)
    expected, rough = (x.gradients(dout, dlse) for x in (truth, plain))
    size = truth.largest_terms(dout, dlse)
    for name, x, g in zip(NAMES, operands, grads, strict=True):
        if x is None or name not in expected:
            assert g is None
            continue
        assert g.shape == x.shape
        assert g.dtype == x.dtype
        # The precision of q enters every gradient, through the rounded output.
        coarse = max(dtype, x.dtype, key=lambda d: float(ml_dtypes.finfo(d).eps))
        close(g, expected[name], rough[name], coarse, f"gradient of {name}", size=size[name])
    for x, y in zip(operands, before, strict=True):
        if x is not None:
            np.testing.assert_array_equal(x.view(f"u{x.itemsize}"), y.view(f"u{y.itemsize}"))
    return out, lse, grads


def everything(base, seed=20):
    """All optional operands at once, each broadcast in its own way."""
    q, k, _ = base
    batch, (heads, rows), cols = q.shape[:-3], q.shape[-3:-1], k.shape[-2]
    rng = np.random.default_rng(seed)
    return operands_of(
        base,
        mask=rng.random((*batch, 1, rows, cols)) < 0.8,
        bias=numbers((heads, rows, cols), q.dtype, seed),
        sink=numbers((heads,), np.float32, seed + 1),
        slopes=np.geomspace(0.2, 0.01, heads, dtype=np.float32),
        q_lengths=rng.integers(rows // 2, rows + 1, batch),
        k_lengths=rng.integers(cols // 2, cols + 1, batch, dtype=np.int32),
    )


def random_mask(shape, seed=3):
    return np.random.default_rng(seed).random(shape) < 0.5


CASES = {
    "plain": ({}, {}),
    "causal": ({}, {"causal": "lower_right"}),
    "causal from the start": ({}, {"causal": "upper_left"}),
    "window": ({}, {"window": (7, 4)}),
    "window to the left": ({}, {"window": (0, None), "causal": True}),
    "softcap": ({}, {"softcap": 0.8}),
    "negative scale": ({}, {"scale": -0.4}),
    "mask": ({"mask": random_mask((37, 70))}, {}),
    "mask of keys": ({"mask": random_mask((2, 1, 1, 70))}, {"causal": True}),
    "bias": ({"bias": numbers((2, 2, 37, 70), np.float32, 4)}, {"softcap": 1.5}),
    "bias of heads": ({"bias": numbers((2, 1, 70), np.float32, 4)}, {}),
    "sink": ({"sink": numbers((2,), np.float32, 5)}, {"causal": True}),
    "sink of entries": ({"sink": numbers((2, 1), np.float64, 5)}, {}),
    "slopes": ({"slopes": np.array([0.3, 0.02])}, {"causal": True}),
    "lengths of keys": ({"k_lengths": np.array([70, 33])}, {"causal": True}),
    "lengths": (
        {"q_lengths": np.array([5, 37]), "k_lengths": np.array([0, 64], np.int32)},
        {"window": (20, 3)},
    ),
}
