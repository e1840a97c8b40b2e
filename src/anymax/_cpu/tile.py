"""The matrix micro-kernel: a block of C from a few rows of A and a few vectors of B.

C stays in registers over the whole inner dimension: ROWS x 2 vectors of sums, one broadcast of A
and two loads of B per step. Written as LLVM vector code because no loop of numba's keeps 24 sums in
registers; from L1 and L2 it runs at the machine's peak, where BLAS calls on tiles this small don't.
Addresses are plain integers, strides are counted in elements.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from .attend_lanes import BYTES, Lanes, intrinsic, llvm_function, splat_value, suffix, vector

__all__ = ["ROWS", "VECTORS", "product_add", "product_scale_add", "product_set"]

# 32 vector registers hold 24 sums, the two vectors of B and a broadcast; 16 registers hold 12.
ROWS = 12 if BYTES == 64 else 6
VECTORS = 2

_I64 = ir.IntType(64)


class _Emitter:
    """Writes one block product into the current function."""

    def __init__(self, builder: Any, lanes: Lanes, vectors: int) -> None:
        self.builder, self.lanes, self.vectors = builder, lanes, vectors
        self.vector = vector(lanes)
        self.scalar = self.vector.element
        self.bytes = lanes.scalar.bitwidth // 8
        self.fma = llvm_function(
            builder, f"llvm.fma.{suffix(self.vector)}", self.vector, *[self.vector] * 3
        )

    def at(self, base: Any, index: Any, times: int = 1) -> Any:
        """Address of element `index * times` after `base`; `index` is an integer or a value."""
        if isinstance(index, int):
            return self.builder.add(base, ir.Constant(_I64, index * times * self.bytes))
        step = self.builder.mul(index, ir.Constant(_I64, times * self.bytes))
        return self.builder.add(base, step)

    def load(self, address: Any, kind: Any) -> Any:
        return self.builder.load(
            self.builder.inttoptr(address, kind.as_pointer()), align=self.bytes
        )

    def spread(self, address: Any) -> Any:
        return splat_value(self.builder, self.load(address, self.scalar), self.vector)

    def sums(
        self, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any, count: Any
    ) -> list[list[Any]]:
        """The loop over the inner dimension; at least one step."""
        builder = self.builder
        entry, loop, done = (
            builder.block,
            builder.append_basic_block("tile.step"),
            builder.append_basic_block("tile.done"),
        )
        rows = [self.at(ir.Constant(_I64, 0), a_row, i) for i in range(ROWS)]
        strides = self.at(ir.Constant(_I64, 0), a_step), self.at(ir.Constant(_I64, 0), b_step)
        builder.branch(loop)
        builder.position_at_end(loop)
        step, place_a, place_b = builder.phi(_I64), builder.phi(_I64), builder.phi(_I64)
        old = [[builder.phi(self.vector) for _ in range(self.vectors)] for _ in range(ROWS)]
        right = [
            self.load(self.at(place_b, j * self.lanes.width), self.vector)
            for j in range(self.vectors)
        ]
        new = []
        for i in range(ROWS):
            left = self.spread(builder.add(place_a, rows[i]))
            new.append(
                [builder.call(self.fma, (left, r, o)) for r, o in zip(right, old[i], strict=True)]
            )
        following = builder.add(step, ir.Constant(_I64, 1))
        zero = ir.Constant(self.vector, None)
        for phi, first, later in (
            (step, ir.Constant(_I64, 0), following),
            (place_a, a, builder.add(place_a, strides[0])),
            (place_b, b, builder.add(place_b, strides[1])),
            *((o, zero, n) for i in range(ROWS) for o, n in zip(old[i], new[i], strict=True)),
        ):
            phi.add_incoming(first, entry)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
        builder.position_at_end(done)
        return new

    def finish(self, sums: list[list[Any]], c: Any, c_row: Any, mode: str, factors: Any) -> None:
        """Write the block: set it, add to it, or scale its rows by factors and add."""
        builder = self.builder
        for i in range(ROWS):
            row = self.at(c, c_row, i)
            factor = self.spread(self.at(factors, i)) if mode == "scale" else None
            for j in range(self.vectors):
                place = self.at(row, j * self.lanes.width)
                value = sums[i][j]
                if mode == "add":
                    value = builder.fadd(self.load(place, self.vector), value)
                elif mode == "scale":
                    value = builder.call(self.fma, (self.load(place, self.vector), factor, value))
                pointer = builder.inttoptr(place, self.vector.as_pointer())
                builder.store(value, pointer, align=self.bytes)


def _product(mode: str, vectors: int) -> Any:
    @intrinsic
    def product(
        typing: Any, like: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any, c: Any,
        c_row: Any, count: Any, factors: Any,
    ) -> Any:  # fmt: skip
        def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            _, a, a_row, a_step, b, b_step, c, c_row, count, factors = args
            emitter = _Emitter(builder, Lanes(like), vectors)
            sums = emitter.sums(a, a_row, a_step, b, b_step, count)
            emitter.finish(sums, c, c_row, mode, factors)
            return context.get_dummy_value()

        return types.void(like, *[types.int64] * 9), code

    return product


# C (ROWS x 2 vectors; _narrow: 1 vector) = A B,  C += A B,  C = factors * C + A B. Arguments: a
# number of the wanted type, address of A, its strides along rows and along the inner dimension,
# address of B and its inner stride, address of C and its row stride, inner length (>= 1), address
# of the factors (only read by scale_add).
product_set = _product("set", 2)
product_add = _product("add", 2)
product_add_narrow = _product("add", 1)
product_scale_add = _product("scale", 2)
product_scale_add_narrow = _product("scale", 1)
