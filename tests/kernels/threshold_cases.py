"""Maps of rows with a threshold for the kernel tests: calls, and the measure."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymax._cuda import row_threshold
from anymax.primitives.row_threshold import row_threshold as plain_threshold
from kernels.oracles import TRUTH, assert_close, largest, wide

# kind, parameter
MAPS = {
    "softmax": ("entmax", 1.0),
    "entmax15": ("entmax", 1.5),
    "sparsemax": ("entmax", 2.0),
    "entmax": ("entmax", 1.3),
    "peaked": ("entmax", 3.0),
    "normmax": ("normmax", 2.0),
    "budget": ("budget", 2.5),
    "soft_top_k": ("soft_top_k", 3.0),
    "log_soft_top_k": ("log_soft_top_k", 3.0),
}


@np.errstate(all="ignore")
def check(
    name, x, where, parameter, axes, dtype, to_device=lambda x: x, to_host=np.asarray, **call
):
    """Hold weights and gradients against the reference in extended precision."""
    kind, value = MAPS[name]
    options: dict[str, Any] = {"axis": axes, "kind": kind, "value": value, "scale": 0.75}
    operands = tuple(map(to_device, (x, where, parameter)))
    y = row_threshold.forward(*operands, **options, **call)
    exact, plain = (_forward(x, where, parameter, options, d) for d in (TRUTH, wide(dtype)))
    size = largest(exact, axes) if kind != "log_soft_top_k" else 1 + np.abs(exact)
    assert_close(to_host(y), exact, plain, dtype, size=_finite(size))

    # From the rounded weights, as plain code has them.
    g = np.random.default_rng(3).standard_normal(x.shape).astype(x.dtype)
    needs = (True, False, False)
    dx, *none = row_threshold.backward(operands, (y,), (to_device(g),), needs, **options, **call)
    assert none == [None, None]
    saved = to_host(y)
    exact, plain = (
        plain_threshold.vjp(
            np, (x, where, _in(parameter, d)), (saved.astype(d),), (g.astype(d),), needs, **options
        )[0]
        for d in (TRUTH, wide(dtype))
    )  # fmt: skip
    size = _finite(largest(exact, axes)) + 0.1 * largest(g, axes)
    assert_close(to_host(dx), exact, plain, dtype, size=size)


def _in(parameter, dtype):
    return None if parameter is None else parameter.astype(dtype)


def _forward(x, where, parameter, options, dtype):
    return plain_threshold.reference(np, x.astype(dtype), where, _in(parameter, dtype), **options)


def _finite(size):
    return np.where(np.isfinite(size), size, 1)
