"""The logarithm for the inside of loops, made of what LLVM vectorises; NaN stays NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from anymax._cpu.jit import FLAGS
from anymax._cpu.simd import fma

__all__ = ["log"]

i32, i64, f32, f64 = np.int32, np.int64, np.float32, np.float64
_OPTIONS: Any = {
    "fastmath": {flag for flag in FLAGS if flag != "reassoc"},
    "error_model": "numpy",
    "forceinline": True,
}
_piece = register_jitable(**_OPTIONS)

_C = tuple(
    map(
        f32,
        (
            7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
            -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
        ),
    )
)  # fmt: skip
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8 = _C
_HIGH_32, _LOW_32 = f32(0.693359375), f32(-2.12194440e-4)
_L1, _L2, _L3, _L4, _L5, _L6, _L7 = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
    2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
    1.479819860511658591e-01,
)  # fmt: skip
_HIGH_64, _LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROOT_32, _ROOT_64 = i32(0x3F3504F3), i64(0x3FE6A09E00000000)  # bits of sqrt(1/2)


def log(x):
    """Natural logarithm within 2 ulp; -inf of 0, NaN of a negative number."""
    return math.log(x)


@_piece
def _edge(x, y, zero, inf):
    """`y` for positive finite x; else what the logarithm of x is."""
    y = y if x < inf else x  # +inf and NaN
    y = y if x != zero else -inf
    return y if x >= zero else inf - inf


def _log32(x):
    small = x < f32(1.1754944e-38)
    v = x * (f32(33554432.0) if small else f32(1.0))
    bits = f32(v).view(np.int32)
    k = (bits - _ROOT_32) >> i32(23)
    e = f32(k - (i32(25) if small else i32(0)))
    f = i32(bits - (k << i32(23))).view(np.float32) - f32(1.0)  # in [sqrt(1/2), sqrt 2) less 1
    z = f * f
    p = fma(fma(fma(fma(_C0, f, _C1), f, _C2), f, _C3), f, _C4)
    p = fma(fma(fma(fma(p, f, _C5), f, _C6), f, _C7), f, _C8)
    y = fma(e, _LOW_32, p * f * z)
    y = fma(f32(-0.5), z, y)
    return _edge(x, fma(e, _HIGH_32, f + y), f32(0.0), f32(np.inf))


def _log64(x):
    small = x < 2.2250738585072014e-308
    v = x * (18014398509481984.0 if small else 1.0)
    bits = f64(v).view(np.int64)
    k = (bits - _ROOT_64) >> i64(52)
    e = f64(i32(k) - (i32(54) if small else i32(0)))
    f = i64(bits - (k << i64(52))).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = fma(fma(fma(_L7, z, _L6), z, _L5), z, _L4)
    r = z * fma(fma(fma(r, z, _L3), z, _L2), z, _L1)
    half = 0.5 * f * f
    y = f - (half - fma(s, half + r, e * _LOW_64))
    return _edge(x, fma(e, _HIGH_64, y), 0.0, np.inf)


def _by_width(narrow, wide):
    return lambda x: {types.float32: narrow, types.float64: wide}.get(x)


overload(log, jit_options=_OPTIONS)(_by_width(_log32, _log64))
