"""SIMD registers as numba values: load, store and arithmetic on explicit vectors.

LLVM's own vectoriser stops at 256 bits and gives up on loops with masks; the row passes of
attention are the second cost after the products, so they name their vectors themselves. Addresses
are plain integers: whoever calls keeps the memory alive.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.core.datamodel import models
from numba.extending import intrinsic as _intrinsic
from numba.extending import overload, register_model

from .jit import jit

__all__ = [
    "BYTES", "Lanes", "absolute", "cast", "choose", "constant", "fma", "highest", "iota", "keep",
    "load", "peak", "peek", "poke", "size", "splat", "spread", "store", "total", "transpose",
    "vector", "width",
]  # fmt: skip


intrinsic: Any = _intrinsic  # numba says it gives something that is called with other arguments


def _vector_bytes() -> int:
    features = getattr(config, "CPU_FEATURES", None)
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


@intrinsic
def choose(typing: Any, sign: Any, a: Any, b: Any) -> Any:
    """`a` in lanes where `sign` is at least 0, else `b`."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(vector(sign), None)
        return builder.select(builder.fcmp_ordered(">=", args[0], zero), args[1], args[2])

    return sign(sign, sign, sign), code


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


@jit(cache=False, reassoc=False)
def spread(value: Any, like: Any) -> Any:
    """`value`, in the type of `like`, in every lane."""
    return splat(cast(value, like))
