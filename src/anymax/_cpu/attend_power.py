"""2^x and tanh on registers, with one polynomial for both, and log(1 + x)."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba.core import types

from .attend_lanes import (
    absolute,
    constant,
    fma,
    highest,
    intrinsic,
    llvm_function,
    sign_of,
    suffix,
    vector,
)
from .jit import jit

__all__ = ["exp2", "exp_below", "log1p", "tanh"]

# (2^f - 1) / f on [-1/2, 1/2], interpolated at Chebyshev nodes: relative error 1.2e-8 and 3e-19.
_SINGLE = (
    0.693147188026228781, 0.240226507605681269, 0.0555035711421907782,
    0.00961808255727785149, 0.00133908633646712344, 0.000154531629451206902,
)  # fmt: skip
_DOUBLE = (
    0.693147180559945309, 0.240226506959100712, 0.055504108664821627, 0.00961812910762847949,
    0.00133335581464064707, 0.000154035303933707334, 0.0000152527338415567726,
    1.32154868087055628e-6,
    1.01780570877339411e-7, 7.05489730415549928e-9, 4.45581790833606449e-10,
    2.57293241773623042e-11,
)  # fmt: skip


@intrinsic
def power_bits(typing: Any, shifted: Any) -> Any:
    """2^n, where `shifted` is n + 1.5 * 2^bits + bias: its low bits, moved up, are the exponent.
    0 for the lowest n."""
    bits = 23 if shifted.scalar == types.float32 else 52

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.IntType(shifted.scalar.bitwidth), shifted.width)
        raw = builder.bitcast(args[0], kind)
        moved = builder.shl(raw, ir.Constant(kind, [bits] * shifted.width))
        return builder.bitcast(moved, vector(shifted))

    return shifted(shifted), code


@intrinsic
def _series(typing: Any, f: Any) -> Any:
    """(2^f - 1) / f by Horner's rule."""
    terms = _SINGLE if f.scalar == types.float32 else _DOUBLE

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = vector(f)
        fused = llvm_function(builder, f"llvm.fma.{suffix(kind)}", kind, kind, kind, kind)
        value = ir.Constant(kind, [terms[-1]] * f.width)
        for term in terms[-2::-1]:
            value = builder.call(fused, (value, args[0], ir.Constant(kind, [term] * f.width)))
        return value

    return f(f), code


@intrinsic
def _bounds(typing: Any, like: Any) -> Any:
    """The exponent at which powers become 0, and the number that rounds to integers when added and
    leaves the exponent field of the power in the low bits."""
    single = like.scalar == types.float32
    low, magic = (-127.0, 1.5 * 2**23 + 127) if single else (-1023.0, 1.5 * 2**52 + 1023)

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = vector(like)
        pair = [ir.Constant(kind, [low] * like.width), ir.Constant(kind, [magic] * like.width)]
        return context.make_tuple(builder, sig.return_type, pair)

    return types.UniTuple(like, 2)(like), code


@jit(cache=False, reassoc=False)
def exp2(x: Any) -> Any:
    """2^x for x <= 0 or little above: 0 below the normal range, NaN for NaN, exactly 1 for 0."""
    low, magic = _bounds(x)
    x = highest(low, x)  # a NaN in x stays: the comparison fails and the second one is taken
    shifted = x + magic
    f = x - (shifted - magic)
    return fma(f, _series(f), constant(x, 1.0)) * power_bits(shifted)


@intrinsic
def _log2e(typing: Any, like: Any) -> Any:
    """log2(e) in two numbers."""
    single = like.scalar == types.float32
    high, low = (1.44269502162933349609, 1.92596299112661746887e-8) if single else (
        1.4426950408889634, 2.0355273740931033e-17
    )  # fmt: skip

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = vector(like)
        pair = [ir.Constant(kind, [number] * like.width) for number in (high, low)]
        return context.make_tuple(builder, sig.return_type, pair)

    return types.UniTuple(like, 2)(like), code


@jit(cache=False, reassoc=False)
def exp_below(x: Any) -> Any:
    """e^x for x <= 0 with the digits that the product with log2(e) loses put back."""
    x = highest(x, constant(x, -1000.0))
    more, rest = _log2e(x)
    high = x * more
    low = fma(x, more, constant(x, 0.0) - high) + x * rest
    e = exp2(high)
    return fma(e * constant(x, math.log(2.0)), low, e)


@intrinsic
def _atanh_series(typing: Any, square: Any) -> Any:
    """atanh(t) / t from t^2 up to 1 / 9, by Horner's rule."""
    count = 8 if square.scalar == types.float32 else 17

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = vector(square)
        fused = llvm_function(builder, f"llvm.fma.{suffix(kind)}", kind, kind, kind, kind)
        value = ir.Constant(kind, [1.0 / (2 * count - 1)] * square.width)
        for n in range(count - 2, -1, -1):
            term = ir.Constant(kind, [1.0 / (2 * n + 1)] * square.width)
            value = builder.call(fused, (value, args[0], term))
        return value

    return square(square), code


@jit(cache=False, reassoc=False)
def log1p(x: Any) -> Any:
    """log(1 + x) for x from 0 to 1: 2 atanh(t) with t = x / (2 + x)."""
    t = x / (constant(x, 2.0) + x)
    return (t + t) * _atanh_series(t * t)


@jit(cache=False, reassoc=False)
def tanh(x: Any) -> Any:
    """tanh, to a few units in the last place near 0 too (through 2^w - 1, not 2^w)."""
    _, magic = _bounds(x)
    w = highest(constant(x, -60.0), absolute(x) * constant(x, -2.0 * math.log2(math.e)))
    shifted = w + magic
    f = w - (shifted - magic)
    power = power_bits(shifted)
    less = fma(power, f * _series(f), power - constant(x, 1.0))  # 2^w - 1 in (-1, 0]
    return sign_of(less / (less + constant(x, 2.0)), x)
