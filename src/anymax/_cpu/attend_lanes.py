"""SIMD registers as numba values: load, store, arithmetic, 2^x and tanh on explicit vectors.

LLVM's own vectoriser stops at 256 bits and gives up on loops with masks; the row passes of
attention are the second cost after the products, so they name their vectors themselves. Addresses
are plain integers: whoever calls keeps the memory alive.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numba
from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.core.datamodel import models
from numba.extending import intrinsic, overload, register_model

from .jit import jit

__all__ = [
    "BYTES", "Lanes", "absolute", "cast", "constant", "exp2", "fma", "highest", "iota", "keep", "load",
    "peak", "peek", "poke", "size", "splat", "spread", "store", "tanh", "total", "transpose", "vector", "width",
]  # fmt: skip


def _vector_bytes() -> int:
    features = config.CPU_FEATURES
    if features is None:
        return 64 if binding.get_host_cpu_features().get("avx512f") else 32
    return 64 if "+avx512f" in features else 32


BYTES = _vector_bytes()


class Lanes(types.Type):
    """A register of `width` numbers of type `scalar`."""

    def __init__(self, scalar: Any) -> None:
        self.scalar = scalar
        self.width = BYTES * 8 // scalar.bitwidth
        super().__init__(name=f"Lanes({scalar}, {self.width})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        super().__init__(dmm, fe_type, vector(fe_type))


def vector(lanes: Lanes) -> ir.VectorType:
    """LLVM type of a register."""
    scalar = ir.FloatType() if lanes.scalar == types.float32 else ir.DoubleType()
    return ir.VectorType(scalar, lanes.width)


def _ints(lanes: Lanes) -> ir.VectorType:
    return ir.VectorType(ir.IntType(lanes.scalar.bitwidth), lanes.width)


def splat_value(builder: Any, value: Any, kind: ir.VectorType) -> Any:
    """One scalar in every lane."""
    empty = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
    return builder.shuffle_vector(first, empty, zeros)


def llvm_function(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """An LLVM intrinsic by name; llvmlite's own declare_intrinsic knows no vectors."""
    kind = ir.FunctionType(result, arguments)
    return cgutils.get_or_insert_function(builder.module, kind, name)


def suffix(kind: ir.VectorType) -> str:
    """How LLVM spells the vector type in the names of its intrinsics."""
    return f"v{kind.count}f{32 if isinstance(kind.element, ir.FloatType) else 64}"


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def width(typing: Any, like: Any) -> Any:
    """How many numbers of the type of `like` fill a register."""
    count = Lanes(like).width
    return types.intp(like), lambda c, b, s, a: ir.Constant(ir.IntType(64), count)


@intrinsic
def size(typing: Any, like: Any) -> Any:
    """Bytes of one number of the type of `like`."""
    count = like.bitwidth // 8
    return types.intp(like), lambda c, b, s, a: ir.Constant(ir.IntType(64), count)


@intrinsic
def cast(typing: Any, value: Any, like: Any) -> Any:
    """`value` in the type of `like`."""
    return like(value, like), lambda c, b, s, a: c.cast(b, a[0], value, like)


@intrinsic
def peek(typing: Any, address: Any, like: Any) -> Any:
    """The number of the type of `like` at an address."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = context.get_data_type(like)
        return builder.load(_pointer(builder, args[0], kind), align=like.bitwidth // 8)

    return like(types.int64, like), code


@intrinsic
def poke(typing: Any, address: Any, value: Any) -> Any:
    """Write a number to an address."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = context.get_data_type(value)
        builder.store(args[1], _pointer(builder, args[0], kind), align=value.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(types.int64, value), code


@intrinsic
def load(typing: Any, address: Any, like: Any) -> Any:
    """A register from an address (no alignment asked)."""
    lanes = Lanes(like)

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, args[0], vector(lanes)), align=like.bitwidth // 8)

    return lanes(types.int64, like), code


@intrinsic
def store(typing: Any, address: Any, value: Any) -> Any:
    """A register to an address."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(builder, args[0], vector(value))
        builder.store(args[1], pointer, align=value.scalar.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(types.int64, value), code


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """The same number in every lane."""
    lanes = Lanes(value)
    return lanes(value), lambda c, b, s, a: splat_value(b, a[0], vector(lanes))


@intrinsic
def iota(typing: Any, like: Any) -> Any:
    """0, 1, 2, ... along the lanes."""
    lanes = Lanes(like)
    numbers = ir.Constant(vector(lanes), [float(i) for i in range(lanes.width)])
    return lanes(like), lambda c, b, s, a: numbers


def _fma(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = vector(sig.args[0])
    return builder.call(
        llvm_function(builder, f"llvm.fma.{suffix(kind)}", kind, kind, kind, kind), args
    )


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    return a(a, a, a), _fma


@intrinsic
def absolute(typing: Any, a: Any) -> Any:
    """|a|."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = vector(a)
        return builder.call(llvm_function(builder, f"llvm.fabs.{suffix(kind)}", kind, kind), args)

    return a(a), code


@intrinsic
def sign_of(typing: Any, a: Any, sign: Any) -> Any:
    """|a| with the sign of `sign`."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = vector(a)
        name = f"llvm.copysign.{suffix(kind)}"
        return builder.call(llvm_function(builder, name, kind, kind, kind), args)

    return a(a, a), code


@intrinsic
def highest(typing: Any, a: Any, b: Any) -> Any:
    """The larger of both, lane by lane; `b` where `a` is NaN. One instruction where maxnum takes
    three."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return a(a, a), code


def _reduce(builder: Any, value: Any, combine: Any) -> Any:
    """Halve the register until one number is left: a fixed order, so a fixed result."""
    count = value.type.count
    while count > 1:
        count //= 2
        kind = ir.VectorType(ir.IntType(32), count)
        low = ir.Constant(kind, list(range(count)))
        high = ir.Constant(kind, list(range(count, 2 * count)))
        value = combine(
            builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high)
        )
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


@intrinsic
def total(typing: Any, a: Any) -> Any:
    """Sum of the lanes."""
    return a.scalar(a), lambda c, b, s, args: _reduce(b, args[0], b.fadd)


@intrinsic
def peak(typing: Any, a: Any) -> Any:
    """Largest lane; no lane may be NaN."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def larger(x: Any, y: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", x, y), x, y)

        return _reduce(builder, args[0], larger)

    return a.scalar(a), code


@intrinsic
def keep(typing: Any, address: Any, value: Any) -> Any:
    """`value` where the byte of the lane is not zero, else -inf; the bytes lie side by side."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bytes_ = ir.VectorType(ir.IntType(8), value.width)
        flags = builder.load(_pointer(builder, args[0], bytes_), align=1)
        wanted = builder.icmp_unsigned("!=", flags, ir.Constant(bytes_, None))
        lowest = ir.Constant(vector(value), [float("-inf")] * value.width)
        return builder.select(wanted, args[1], lowest)

    return value(types.int64, value), code


@intrinsic
def power_bits(typing: Any, shifted: Any) -> Any:
    """2^n, where `shifted` is n + 1.5 * 2^bits + bias: its low bits, moved up, are the exponent.
    0 for the lowest n."""
    bits = 23 if shifted.scalar == types.float32 else 52

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = _ints(shifted)

        raw = builder.bitcast(args[0], kind)
        moved = builder.shl(raw, ir.Constant(kind, [bits] * shifted.width))
        return builder.bitcast(moved, vector(shifted))

    return shifted(shifted), code


@intrinsic
def transpose(typing: Any, source: Any, row: Any, to: Any, to_row: Any, like: Any) -> Any:
    """A square block, as many rows as a register has lanes, turned; strides in bytes.

    Each step swaps the off-diagonal halves of ever smaller squares, two shuffles a pair.
    """
    lanes = Lanes(like)

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source, row, to, to_row, _ = args
        kind, n, bytes_ = vector(lanes), lanes.width, like.bitwidth // 8
        rows = []
        for _ in range(n):
            rows.append(builder.load(_pointer(builder, source, kind), align=bytes_))
            source = builder.add(source, row)
        half = n // 2
        while half:
            for i in (i for i in range(n) if not i & half):
                a, b = rows[i], rows[i + half]
                for at, shift in ((i, 0), (i + half, half)):
                    picks = [
                        (n + lane - half + shift) if lane & half else lane + shift
                        for lane in range(n)
                    ]
                    mask = ir.Constant(ir.VectorType(ir.IntType(32), n), picks)
                    rows[at] = builder.shuffle_vector(a, b, mask)
            half //= 2
        for value in rows:
            builder.store(value, _pointer(builder, to, kind), align=bytes_)
            to = builder.add(to, to_row)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, like), code


def _binary(operation: Any, method: str) -> None:
    @intrinsic
    def apply(typing: Any, a: Any, b: Any) -> Any:
        return a(a, a), lambda c, builder, s, args: getattr(builder, method)(*args)

    @overload(operation, strict=False)
    def lanes_operator(a: Any, b: Any) -> Any:
        if isinstance(a, Lanes) and a == b:
            return lambda a, b: apply(a, b)
        return None


for _operation, _method in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _binary(_operation, _method)


@intrinsic
def constant(typing: Any, like: Any, value: Any) -> Any:
    """A register of one literal number, in the type of `like`."""
    lanes = like if isinstance(like, Lanes) else Lanes(like)

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = (
            args[1] if lanes.scalar == types.float64 else builder.fptrunc(args[1], ir.FloatType())
        )
        return splat_value(builder, number, vector(lanes))

    return lanes(like, types.float64), code


# (2^f - 1) / f on [-1/2, 1/2], interpolated at Chebyshev nodes: relative error 1.2e-8 and 3e-19.
_SINGLE = (
    0.693147188026228781, 0.240226507605681269, 0.0555035711421907782,
    0.00961808255727785149, 0.00133908633646712344, 0.000154531629451206902,
)  # fmt: skip
_DOUBLE = (
    0.693147180559945309, 0.240226506959100712, 0.055504108664821627, 0.00961812910762847949,
    0.00133335581464064707, 0.000154035303933707334, 0.0000152527338415567726, 1.32154868087055628e-6,
    1.01780570877339411e-7, 7.05489730415549928e-9, 4.45581790833606449e-10, 2.57293241773623042e-11,
)  # fmt: skip


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
def spread(value: Any, like: Any) -> Any:
    """`value`, in the type of `like`, in every lane."""
    return splat(cast(value, like))


@jit(cache=False, reassoc=False)
def exp2(x: Any) -> Any:
    """2^x for x <= 0 or little above: 0 below the normal range, NaN for NaN, exactly 1 for 0."""
    low, magic = _bounds(x)
    x = highest(low, x)  # a NaN in x stays: the comparison fails and the second one is taken
    shifted = x + magic
    f = x - (shifted - magic)
    return fma(f, _series(f), constant(x, 1.0)) * power_bits(shifted)


@jit(cache=False, reassoc=False)
def tanh(x: Any) -> Any:
    """tanh, to a few units in the last place near 0 too (through 2^w - 1, not 2^w)."""
    low, magic = _bounds(x)
    w = highest(constant(x, -60.0), absolute(x) * constant(x, -2.0 * math.log2(math.e)))
    shifted = w + magic
    f = w - (shifted - magic)
    power = power_bits(shifted)
    less = fma(power, f * _series(f), power - constant(x, 1.0))  # 2^w - 1 in (-1, 0]
    return sign_of(less / (less + constant(x, 2.0)), x)
