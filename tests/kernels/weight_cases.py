"""Weights s(x) / sum s(x) of rows for the kernel tests: calls, and the measure."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymax._cuda import row_weights
from anymax.primitives.row_weights import row_log_weights
from anymax.primitives.row_weights import row_weights as plain_weights
from kernels.oracles import TRUTH, assert_close, largest, wide

KINDS: dict[str, tuple[float, ...]] = {
    "exp": (),
    "sigsoft": (),
    "scalable": (0.4, 0.1),
    "power": (1.7,),
    "linear": (1.0,),
    "spherical": (1e-3,),
    "taylor": (6,),
    "stable": (),
}


def logits_for(kind: str, x: np.ndarray) -> np.ndarray:
    """Powers have no weights below 0; a row of zeros has something to say about them."""
    if kind in ("power", "linear"):
        x = np.abs(x, where=x != -np.inf, out=x.copy())
    if kind in ("power", "linear", "spherical"):
        x[0, ::2] = 0
    return x


@np.errstate(all="ignore")
def check(kind, x, where, sink, axes, dtype, to_device=lambda x: x, to_host=np.asarray, **call):
    """Hold weights, logarithms and gradients against the reference in extended precision."""
    options: dict[str, Any] = {
        "axis": axes, "kind": "power" if kind == "linear" else kind, "value": KINDS[kind],
    }  # fmt: skip
    g = np.random.default_rng(3).standard_normal(x.shape).astype(x.dtype)
    operands = tuple(map(to_device, (x, where, sink)))
    needs = (True, False, sink is not None)
    for logs in (False, True):
        primitive = row_log_weights if logs else plain_weights
        y = row_weights.forward(*operands, **options, logs=logs, **call)
        dx, none, dsink = row_weights.backward(
            operands, (y,), (to_device(g),), needs, **options, logs=logs, **call
        )
        assert none is None
        exact, plain = (
            _reference(primitive, x, where, sink, g, needs, options, d)
            for d in (TRUTH, wide(dtype))
        )
        size = largest(exact[0], axes) if not logs else 1 + np.abs(exact[0])
        assert_close(to_host(y), exact[0], plain[0], dtype, size=_finite(size))
        size = _finite(largest(exact[1], axes) + 1e-2 * largest(g, axes))
        if kind == "scalable":  # one rounding of log n, magnified by the exponents of a row
            size = 8 * size
        assert_close(to_host(dx), exact[1], plain[1], dtype, size=size)
        if sink is not None:
            assert_close(to_host(dsink), exact[2], plain[2], str(sink.dtype), size=1.0)


def _reference(primitive, x, where, sink, g, needs, options, dtype):
    x, g = x.astype(dtype), g.astype(dtype)
    sink = None if sink is None else sink.astype(dtype)
    y = primitive.reference(np, x, where, sink, **options)
    dx, _, dsink = primitive.vjp(np, (x, where, sink), (y,), (g,), needs, **options)
    return y, dx, dsink


def _finite(size):
    return np.where(np.isfinite(size), size, 1)
