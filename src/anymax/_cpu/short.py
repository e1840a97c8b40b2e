"""Loops over short rows, written as vectors with a masked tail.

What LLVM makes of a plain loop needs 64 cells before it runs fast and does the rest one by one; on
a row of 8 or 63 cells that rest is all there is. A row is `size` cells of a C-contiguous array from
the cell `start` on: a view of its own would cost as much as the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

__all__ = ["Vectors", "largest", "multiply", "shift", "total"]

intrinsic: Any = extending.intrinsic
_BYTES = 64
_i32 = ir.IntType(32)


class Vectors:
    """Vector code under construction: lanes, loads and stores with or without a mask."""

    def __init__(self, context: Any, builder: Any, kind: Any) -> None:
        self.context, self.builder = context, builder
        self.cell = context.get_data_type(kind.dtype)
        self.align = kind.dtype.bitwidth // 8
        self.lanes = _BYTES // self.align
        self.kind = ir.VectorType(self.cell, self.lanes)
        self.code = f"v{self.lanes}f{kind.dtype.bitwidth}"

    def call(self, name: str, returns: Any, arguments: list[Any], **options: Any) -> Any:
        name = f"llvm.{name}"
        shape = ir.FunctionType(returns, [argument.type for argument in arguments])
        function = self.builder.module.globals.get(name)
        if function is None:
            function = ir.Function(self.builder.module, shape, name)
        return self.builder.call(function, arguments, **options)

    def splat(self, value: Any) -> Any:
        kind = ir.VectorType(value.type, self.lanes)
        first = self.builder.insert_element(kind(ir.Undefined), value, _i32(0))
        zeros = ir.VectorType(_i32, self.lanes)([0] * self.lanes)
        return self.builder.shuffle_vector(first, kind(ir.Undefined), zeros)

    def address(self, data: Any, j: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [j]), self.kind.as_pointer())

    def load(self, data: Any, j: Any, mask: Any) -> Any:
        pointer = self.address(data, j)
        if mask is None:
            return self.builder.load(pointer, align=self.align)
        arguments = [pointer, _i32(self.align), mask, self.kind(None)]
        return self.call(f"masked.load.{self.code}.p0", self.kind, arguments)

    def store(self, value: Any, data: Any, j: Any, mask: Any) -> None:
        pointer = self.address(data, j)
        if mask is None:
            self.builder.store(value, pointer, align=self.align)
        else:
            arguments = [value, pointer, _i32(self.align), mask]
            self.call(f"masked.store.{self.code}.p0", ir.VoidType(), arguments)

    def sweep(self, size: Any, body: Callable[[Any, Any], None]) -> None:
        """Body(j, None) for every whole vector, then body(j, mask) for what is left."""
        builder, index = self.builder, size.type
        whole = builder.and_(size, index(-self.lanes))
        step = index(self.lanes)
        with cgutils.for_range_slice(builder, index(0), whole, step, intp=index) as (j, _):
            body(j, None)
        rest = builder.trunc(builder.sub(size, whole), _i32)
        with builder.if_then(builder.icmp_unsigned("!=", rest, _i32(0))):
            places = ir.VectorType(_i32, self.lanes)(list(range(self.lanes)))
            body(whole, builder.icmp_unsigned("<", places, self.splat(rest)))

    def cells(self, kind: Any, value: Any, start: Any) -> Any:
        array = self.context.make_array(kind)(self.context, self.builder, value)
        return self.builder.gep(array.data, [start])


@intrinsic
def largest(typingctx: Any, x: Any, start: Any, size: Any, scale: Any) -> Any:
    """Largest cell of scale * x, NaN left out; -inf for nothing."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        v = Vectors(context, builder, x)
        data, size = v.cells(x, values[0], values[1]), values[2]
        low, factor = v.splat(v.cell(float("-inf"))), v.splat(values[3])
        best = cgutils.alloca_once_value(builder, low)

        def body(j: Any, mask: Any) -> None:
            z = builder.fmul(v.load(data, j, mask), factor)
            z = z if mask is None else builder.select(mask, z, low)
            builder.store(v.call(f"maxnum.{v.code}", v.kind, [builder.load(best), z]), best)

        v.sweep(size, body)
        # the running maximum never holds NaN
        flags = {"fastmath": ("nnan", "nsz")}
        return v.call(f"vector.reduce.fmax.{v.code}", v.cell, [builder.load(best)], **flags)

    return x.dtype(x, types.intp, types.intp, x.dtype), generate


@intrinsic
def total(typingctx: Any, x: Any, start: Any, size: Any) -> Any:
    """Sum in the precision of x."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        v = Vectors(context, builder, x)
        data, size = v.cells(x, values[0], values[1]), values[2]
        sums = cgutils.alloca_once_value(builder, v.kind(None))

        def body(j: Any, mask: Any) -> None:
            builder.store(builder.fadd(builder.load(sums), v.load(data, j, mask)), sums)

        v.sweep(size, body)
        arguments, flags = [v.cell(0.0), builder.load(sums)], {"fastmath": ("reassoc", "nsz")}
        return v.call(f"vector.reduce.fadd.{v.code}", v.cell, arguments, **flags)

    return x.dtype(x, types.intp, types.intp), generate


@intrinsic
def shift(
    typingctx: Any, x: Any, start: Any, y: Any, begin: Any, size: Any, scale: Any, m: Any
) -> Any:
    """y = scale * x - m, the product rounded: the largest cell gives exactly 0."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        v = Vectors(context, builder, x)
        source, target = v.cells(x, values[0], values[1]), v.cells(y, values[2], values[3])
        size, factor, less = values[4], v.splat(values[5]), v.splat(values[6])

        def body(j: Any, mask: Any) -> None:
            z = builder.fmul(v.load(source, j, mask), factor)
            v.store(builder.fsub(z, less), target, j, mask)

        v.sweep(size, body)
        return context.get_dummy_value()

    index = types.intp
    return types.none(x, index, y, index, index, x.dtype, x.dtype), generate


@intrinsic
def multiply(typingctx: Any, x: Any, start: Any, y: Any, begin: Any, size: Any, factor: Any) -> Any:
    """y = factor * x.

    In place it is slow on short rows: the end of one row waits for the masked store of the last.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        v = Vectors(context, builder, y)
        source, target = v.cells(x, values[0], values[1]), v.cells(y, values[2], values[3])
        size, by = values[4], v.splat(values[5])

        def body(j: Any, mask: Any) -> None:
            v.store(builder.fmul(v.load(source, j, mask), by), target, j, mask)

        v.sweep(size, body)
        return context.get_dummy_value()

    index = types.intp
    return types.none(x, index, y, index, index, y.dtype), generate
