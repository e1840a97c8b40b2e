"""Exponentials of a row and their sum in one sweep, in registers of 512 bits.

The vector code that LLVM makes of `simd.exp` spends as many instructions on building 2**n, on
underflow and on NaN as on the polynomial.  AVX-512 does the three with one instruction (vscalef)
and a mask.  Processors without it keep the plain loop.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from anymax._cpu import simd
from anymax._cpu.short import Vectors

__all__ = ["exp_sum"]

intrinsic: Any = _intrinsic  # numba says it gives something that is called with other arguments


class _Exp:
    """exp of a vector: 2**n (1 + r + r**2 q(r)) with z = n ln 2 + r; 0 below what has a result."""

    def __init__(self, v: Any) -> None:
        self.v, self.builder = v, v.builder
        single = v.lanes == 16
        self.constants = simd.SINGLE if single else simd.DOUBLE
        self.name = f"llvm.x86.avx512.mask.scalef.p{'s' if single else 'd'}.512"
        self.bits = ir.IntType(v.lanes)

    def number(self, value: float) -> Any:
        return self.v.splat(self.v.cell(float(value)))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.v.call(f"fma.{self.v.code}", self.v.kind, [a, b, c])

    def __call__(self, z: Any) -> Any:
        v, builder, constants = self.v, self.builder, self.constants
        n = v.call(f"rint.{v.code}", v.kind, [builder.fmul(z, self.number(constants.log2e))])
        r = self.fma(n, self.number(-constants.high), z)
        r = self.fma(n, self.number(-constants.low), r)
        q = self.number(constants.powers[-1])
        for coefficient in reversed(constants.powers[:-1]):
            q = self.fma(q, r, self.number(coefficient))
        e = self.fma(self.fma(q, r, self.number(1.0)), r, self.number(1.0))
        inside = builder.fcmp_unordered(">=", z, self.number(constants.least))  # NaN stays NaN
        mask, rounding = builder.bitcast(inside, self.bits), ir.IntType(32)(4)
        kinds = [v.kind, v.kind, v.kind, self.bits, ir.IntType(32)]
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(v.kind, kinds), self.name
        )
        return builder.call(function, [e, n, v.kind(None), mask, rounding])


@intrinsic
def exp_sum(
    typingctx: Any, x: Any, start: Any, y: Any, begin: Any, size: Any, scale: Any, m: Any
) -> Any:
    """y = exp(scale * x - m), the product rounded first, and the sum of y in its own precision."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        v = Vectors(context, builder, x)
        exp = _Exp(v)
        source, target = v.cells(x, values[0], values[1]), v.cells(y, values[2], values[3])
        size, factor, less = values[4], v.splat(values[5]), v.splat(values[6])
        sums = cgutils.alloca_once_value(builder, v.kind(None))

        def body(j: Any, mask: Any) -> None:
            e = exp(builder.fsub(builder.fmul(v.load(source, j, mask), factor), less))
            v.store(e, target, j, mask)
            e = e if mask is None else builder.select(mask, e, v.kind(None))
            builder.store(builder.fadd(builder.load(sums), e), sums)

        v.sweep(size, body)
        arguments, flags = [v.cell(0.0), builder.load(sums)], {"fastmath": ("reassoc", "nsz")}
        return v.call(f"vector.reduce.fadd.{v.code}", v.cell, arguments, **flags)

    index = types.intp
    return x.dtype(x, index, y, index, index, x.dtype, x.dtype), generate
