"""Elementary functions for the inside of loops: LLVM vectorises every one of them, and NaN stays
NaN.

All are compiled without `reassoc`: their argument reductions are exact only in the written order.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import extending, types
from numba.core import config
from numba.extending import overload, register_jitable

from anymax._cpu.jit import FLAGS

__all__ = [
    "DOUBLE",
    "SINGLE",
    "exp",
    "fma",
    "maxnum",
    "narrow",
    "rare",
    "rint",
    "tanh",
    "vscalef",
    "wide",
    "widen",
]

intrinsic: Any = extending.intrinsic
i32, i64, f32, f64 = np.int32, np.int64, np.float32, np.float64

_OPTIONS = {"fastmath": {flag for flag in FLAGS if flag != "reassoc"}, "error_model": "numpy"}
_piece = register_jitable(**_OPTIONS)


def _operation(name: str, arity: int) -> Any:
    """The LLVM intrinsic `name` on floats of one type; unlike calls of libm it becomes vector
    code."""

    def build(*operands: Any) -> Any:
        first = operands[0]
        if not isinstance(first, types.Float) or any(other != first for other in operands):
            return None

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = values[0].type
            suffix = "f32" if first.bitwidth == 32 else "f64"
            shape = ir.FunctionType(kind, [kind] * arity)
            function = builder.module.globals.get(f"llvm.{name}.{suffix}")
            if function is None:
                function = ir.Function(builder.module, shape, f"llvm.{name}.{suffix}")
            return builder.call(function, values)

        return first(*operands), generate

    if arity == 1:
        return intrinsic(lambda typingctx, x: build(x))
    if arity == 2:
        return intrinsic(lambda typingctx, x, y: build(x, y))
    return intrinsic(lambda typingctx, x, y, z: build(x, y, z))


maxnum = _operation("maxnum", 2)  # drops NaN, which exp brings back into the sum
rint = _operation("rint", 1)
fma = _operation("fma", 3)


@functools.cache
def vscalef() -> bool:
    """Whether numba compiles for a processor with the AVX-512 instruction that scales by 2**n."""
    features = getattr(config, "CPU_FEATURES", None)
    if features is None:
        return bool(binding.get_host_cpu_features().get("avx512f"))
    return "+avx512f" in features


@intrinsic
def wide(typingctx: Any) -> Any:
    """Ask for the widest registers in the function this is called in; on its own LLVM stops at 256
    bits.

    1.5 times the speed of an exp loop. Processors without such registers ignore it.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        # llvmlite's own add() knows only attributes without a value
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def rare(typingctx: Any) -> Any:
    """Keep the function this is called in out of its callers: they compile in half the time."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.none(), generate


_LOG2E_32, _HIGH_32, _LOW_32 = f32(1.4426950408889634), f32(0.693145751953125), f32(1.42860682e-6)
_LOG2E_64, _HIGH_64, _LOW_64 = 1.4426950408889634, 0.6931471803691238, 1.9082149292705878e-10
_A0, _A1, _A2, _A3, _A4 = map(
    f32, (0.5, 0.166665769982, 0.0416665546279, 0.00836317762999, 0.00139261818105)
)
_B0, _B1, _B2, _B3, _B4, _B5, _B6, _B7, _B8, _B9, _B10 = (
    0.5,
    0.1666666666666667099,
    0.041666666666666669754,
    0.0083333333333261364965,
    0.0013888888888883749283,
    0.00019841269874815833107,
    0.000024801587325544319081,
    2.7557255406285043682e-6,
    2.7557273647451089581e-7,
    2.5105214474751413753e-8,
    2.0914685161418067983e-9,
)


class Constants(NamedTuple):
    """What exp is made of: z = n high + n low + r, and q with exp(r) = 1 + r + r**2 q(r)."""

    log2e: Any
    high: Any
    low: Any
    powers: tuple[Any, ...]
    least: float  # below it the result is 0


SINGLE = Constants(_LOG2E_32, _HIGH_32, _LOW_32, (_A0, _A1, _A2, _A3, _A4), -104.0)
DOUBLE = Constants(
    _LOG2E_64, _HIGH_64, _LOW_64,
    (_B0, _B1, _B2, _B3, _B4, _B5, _B6, _B7, _B8, _B9, _B10), -746.0,
)  # fmt: skip


@_piece
def _power32(n):
    return i32((i32(n) + i32(127)) << i32(23)).view(np.float32)


@_piece
def _power64(n):
    return i64((i64(n) + i64(1023)) << i64(52)).view(np.float64)


@intrinsic
def _ldexp(typingctx: Any, x: Any, n: Any) -> Any:
    """x * 2**n for a 32-bit n, rounded once: one instruction (vscalef) where there is AVX-512."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = values[0].type
        name = f"llvm.ldexp.f{signature.args[0].bitwidth}.i32"
        function = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(kind, [kind, ir.IntType(32)]), name
        )
        return builder.call(function, values)

    return x(x, types.int32), generate


@_piece
def _by_scaling(x, n):
    return _ldexp(x, n)


@_piece
def _by_factors32(x, n):
    half = n >> i32(1)  # two factors: 2**n itself may be subnormal or overflow
    return x * _power32(half) * _power32(n - half)


@_piece
def _by_factors64(x, n):
    half = n >> i32(1)
    return x * _power64(half) * _power64(n - half)


_scaled32 = _by_scaling if vscalef() else _by_factors32
_scaled64 = _by_scaling if vscalef() else _by_factors64


@_piece
def _split32(x):
    """The integer n nearest to x / ln 2, and expm1 of what is left, |r| <= ln 2 / 2."""
    n = rint(x * _LOG2E_32)
    r = fma(-n, _LOW_32, fma(-n, _HIGH_32, x))
    q = fma(fma(fma(fma(_A4, r, _A3), r, _A2), r, _A1), r, _A0)
    return i32(n), fma(q * r, r, r)


@_piece
def _split64(x):
    n = rint(x * _LOG2E_64)
    r = fma(-n, _LOW_64, fma(-n, _HIGH_64, x))
    q = fma(fma(fma(_B10, r, _B9), r, _B8), r, _B7)
    q = fma(fma(fma(fma(q, r, _B6), r, _B5), r, _B4), r, _B3)
    q = fma(fma(fma(q, r, _B2), r, _B1), r, _B0)
    return i32(n), fma(q * r, r, r)


def exp(x):
    """e**x within 1 ulp; subnormal results come out right, NaN stays NaN."""
    return math.exp(x)


def _exp32(x):
    # Far below, exp(0) is computed and dropped: subnormal arithmetic takes a hundred cycles.
    inside = x > f32(-104.0)
    n, t = _split32(min(x, f32(89.0)) if inside else f32(0.0))
    e = _scaled32(f32(1.0) + t, n)
    return e if inside else (f32(0.0) if x <= f32(-104.0) else x)


def _exp64(x):
    inside = x > -746.0
    n, t = _split64(min(x, 710.0) if inside else 0.0)
    e = _scaled64(1.0 + t, n)
    return e if inside else (0.0 if x <= -746.0 else x)


def tanh(x):
    """Hyperbolic tangent, accurate near 0 too: from expm1(-2|x|), with no cancellation."""
    return math.tanh(x)


def _tanh32(x):
    a = abs(x)
    n, t = _split32(f32(-2.0) * (a if a < f32(10.0) else f32(10.0)))
    s = _power32(n)
    u = fma(s, t, s - f32(1.0))  # expm1(-2|x|), between -1 and 0
    y = -u / (f32(2.0) + u)
    y = y if x >= f32(0.0) else -y
    return y if a >= f32(0.0) else x


def _tanh64(x):
    a = abs(x)
    n, t = _split64(-2.0 * (a if a < 20.0 else 20.0))
    s = _power64(n)
    u = fma(s, t, s - 1.0)
    y = -u / (2.0 + u)
    y = y if x >= 0.0 else -y
    return y if a >= 0.0 else x


def _by_width(narrow, wide):
    return lambda x: {types.float32: narrow, types.float64: wide}.get(x)


overload(exp, jit_options=_OPTIONS)(_by_width(_exp32, _exp64))
overload(tanh, jit_options=_OPTIONS)(_by_width(_tanh32, _tanh64))


def widen(x):
    """The number stored in x: float16 bits come as int16, bfloat16 bits as uint16, others as they
    are."""
    return x


def narrow(x, like):
    """The bits that store x as `like` is stored, rounded to nearest even."""
    return x


@intrinsic
def _half_to_float(typingctx, x):
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fpext(builder.bitcast(values[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.int16), generate


@intrinsic
def _float_to_half(typingctx, x):
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(builder.fptrunc(values[0], ir.HalfType()), ir.IntType(16))

    return types.int16(types.float32), generate


def _brain_to_float(x):
    return i32(i32(x) << i32(16)).view(np.float32)


def _float_to_brain(x, like):
    bits = f32(x).view(np.int32)
    even = (bits >> i32(16)) & i32(1)
    kept = (bits + i32(0x7FFF) + even) >> i32(16)
    return np.uint16(kept if x == x else i32(0x7FC0))


@overload(widen, jit_options=_OPTIONS)
def _widen(x):
    if x == types.int16:
        return lambda x: _half_to_float(x)
    return _brain_to_float if x == types.uint16 else lambda x: x


@overload(narrow, jit_options=_OPTIONS)
def _narrow(x, like):
    if like == types.int16:
        return lambda x, like: _float_to_half(x)
    return _float_to_brain if like == types.uint16 else lambda x, like: x
