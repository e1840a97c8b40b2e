"""Rows that the CUDA row kernels are tested on, on the CPU and on a device, and the measure."""

from __future__ import annotations

import numpy as np

from anymax._cuda import row_softmax
from kernels import oracles
from kernels.oracles import TRUTH, assert_close, dtype_of, wide

DTYPES = ["float32", "float64", "float16", "bfloat16"]
KINDS = ["softmax", "log_softmax", "logsumexp"]
COLS = [1, 31, 33, 65, 1030]
OPTIONS = {
    "plain": {},
    "smooth": {"label_smoothing": 0.1},
    "square": {"lse_square_scale": 0.01},
    "capped": {"softcap": 8.0},
    "everything": {"label_smoothing": 0.2, "lse_square_scale": 0.01, "softcap": 8.0},
}


def logits(cols: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Rows worth testing: plain, large, tied, empty, with -inf, +inf, NaN, and both."""
    rng = np.random.default_rng(seed)
    x = 4 * rng.standard_normal((10, cols))
    x[1] += 1e4
    x[2] = 2.0
    x[3] = -np.inf
    x[4, ::3] = -np.inf
    x[5, cols // 2] = np.inf
    x[6, cols // 3] = np.nan
    x[7, 0], x[7, -1] = np.nan, np.inf
    x[8, cols // 2] += 60
    return x.astype(dtype_of(dtype))


def masks(cols: int) -> dict[str, np.ndarray | None]:
    rng = np.random.default_rng(1)
    hides_bad = ~np.isnan(logits(cols, "float64")) & (logits(cols, "float64") != np.inf)
    return {
        "none": None,
        "random": rng.random((10, cols)) < 0.6,
        "hides what is bad": hides_bad,
        "columns": rng.random(cols) < 0.6,
        "rows": rng.random((10, 1)) < 0.6,
    }


def functions(kind: str):
    return getattr(row_softmax, kind), getattr(row_softmax, f"{kind}_backward")


@np.errstate(all="ignore")
def plain_gradient(kind, x, where, y, g, axes, scale, dtype):
    """The formula on the saved, rounded output: what plain code of that dtype has to start from."""
    if kind == "logsumexp":
        return oracles.backward(kind, x, where, g, axes, scale, wide(dtype))
    p = np.exp(y.astype(wide(dtype))) if kind == "log_softmax" else y.astype(wide(dtype))
    g = np.where(p == 0, 0, g.astype(wide(dtype)))
    if kind == "softmax":
        dx = p * (g - (g * p).sum(axis=axes, keepdims=True))
    else:
        dx = g - p * g.sum(axis=axes, keepdims=True)
    return np.where(p == 0, 0, dx * scale)


@np.errstate(all="ignore")
def terms(kind, x, where, g, axes, scale):
    """Largest term of each row's gradient: they nearly cancel where one weight is nearly 1."""
    p = oracles.forward("softmax", x, where, axes, scale, TRUTH)
    g = np.abs(np.expand_dims(g, axes) if kind == "logsumexp" else g).astype(TRUTH)
    if kind == "log_softmax":
        sizes = g + p * np.where(p > 0, g, 0).sum(axis=axes, keepdims=True)
    else:
        sizes = g * p
    return oracles.largest(scale * sizes, axes)


def cross_entropy_case(cols, dtype, *, probabilities, seed=7):
    rng = np.random.default_rng(seed)
    x = logits(cols, dtype)
    target = rng.integers(0, cols, len(x))
    if probabilities:
        target = rng.random(x.shape) * (rng.random(x.shape) < 0.5)
        target = (target / np.maximum(target.sum(-1, keepdims=True), 1e-3)).astype(x.dtype)
    weight = rng.random(cols).astype(wide(dtype))
    row_scale = rng.random(len(x)).astype(wide(dtype))
    row_scale[[0, 6]] = 0
    return x, target, weight, row_scale


def compare_cross_entropy(actual, operands, g, options, dtype):
    """Hold (loss, lse, dx) against the oracle for the cotangents g of loss and lse."""
    truth, plain = (
        oracles.cross_entropy(
            *operands, d,
            smoothing=options.get("label_smoothing", 0.0),
            square=options.get("lse_square_scale", 0.0), cap=options.get("softcap"),
            cotangents=(g[0], g[1]),
        )
        for d in (TRUTH, wide(dtype))
    )  # fmt: skip
    size = 1 + oracles.largest(np.stack([truth[0], truth[1]], -1), (-1,))[:, 0]
    for i in range(2):
        assert_close(actual[i], truth[i], plain[i], wide(dtype), size=size)
    size = oracles.largest(truth[2], (-1,)) + 1e-2
    assert_close(actual[2], truth[2], plain[2], dtype, size=size)
