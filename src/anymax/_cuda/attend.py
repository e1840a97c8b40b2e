"""Launch code of the attention primitive on CUDA: forward and backward, outputs included.

Tensor cores take float16 and bfloat16 with head dimensions up to 128; CUDA cores take the rest, up
to 256. The log-sum-exp has dtype float32, or float64 for float64 operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import arrays, attend_plan, attend_specs
from .attend_plan import Plan
from .attend_sum import unbroadcast
from .launch import Launcher, default

Array = Any


def forward(
    q: Array, k: Array, v: Array,
    mask: Array | None = None, bias: Array | None = None, sink: Array | None = None,
    slopes: Array | None = None, q_lengths: Array | None = None, k_lengths: Array | None = None,
    /, *,
    scale: float, causal: bool | str = False,
    window: tuple[int | None, int | None] | None = None, softcap: float | None = None,
    launcher: Launcher | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Return (out, lse) of softmax attention; see the attend primitive for the meaning.

    Parameters
    ----------
    q, k, v : array
        (..., Hq, L, D), (..., Hk, S, D) and (..., Hk, S, Dv), of one dtype and any strides.
    mask, bias, sink, slopes, q_lengths, k_lengths : array or None
        As in the primitive; any strides.
    launcher : Launcher, optional
        Who runs the kernels; the CuPy launcher by default.
    """
    operands = (q, k, v, mask, bias, sink, slopes, q_lengths, k_lengths)
    plan = attend_plan.make(operands, scale=scale, causal=causal, window=window, softcap=softcap)
    launcher = launcher or default()
    out = arrays.empty((*plan.batch, plan.heads, plan.rows, plan.depth_v), plan.dtype, q)
    lse = arrays.empty((*plan.batch, plan.heads, plan.rows), plan.wide, q)
    if 0 in lse.shape:
        return out, lse
    marks = _mark(operands, plan, launcher)
    kernel = _kernel(plan, attend_specs.FORWARD)
    tiles = -(-plan.rows // kernel.rows) * plan.entries * plan.heads
    _launch(launcher, kernel.spec, tiles, (*operands, *marks, out, lse, *plan.scalars))
    return out, lse


def backward(
    operands: Sequence[Array],
    outputs: Sequence[Array],
    cotangents: Sequence[Array | None],
    needs: Sequence[bool],
    *,
    launcher: Launcher | None = None,
    **options: Any,
) -> tuple[Array | None, ...]:
    """Return one gradient per operand, None where it is not needed or there is none.

    Parameters
    ----------
    operands, outputs, cotangents : sequence of array or None
        What `forward` took and returned, and the cotangents of (out, lse).
    needs : sequence of bool
        Which operands want a gradient: q, k, v, bias, sink and slopes can have one.
    launcher : Launcher, optional
        As in `forward`.
    **options
        As in `forward`.
    """
    launcher = launcher or default()
    dout, dlse = cotangents
    extra = {n: x for n, x in (("dout", dout), ("dlse", dlse)) if x is not None}
    plan = attend_plan.make(operands, extra=extra, **options)
    call = _Backward(plan, tuple(operands), tuple(needs), launcher)
    call.prepare(outputs, extra)
    grads: dict[str, Array] = {}
    if call.wants("q", "bias", "slopes"):
        grads |= call.over_keys()
    if call.wants("k", "v"):
        grads |= call.over_queries()
    if call.wants("sink"):
        grads["sink"] = call.summed("sink", call.dsink)
    return tuple(grads.get(name) for name in attend_plan.STRIDED)


class _Backward:
    """The launches of one backward call, and the scratch they share."""

    def __init__(
        self, plan: Plan, operands: tuple[Array, ...], needs: tuple[bool, ...],
        launcher: Launcher,
    ) -> None:  # fmt: skip
        self.plan, self.operands, self.launcher = plan, operands, launcher
        self.named = dict(zip(attend_plan.STRIDED, operands, strict=True))
        self.needs = dict(zip(attend_plan.STRIDED, needs, strict=True))
        heads, k_heads = plan.heads, plan.heads // plan.group
        self.shapes = {
            "q": (*plan.batch, heads, plan.rows, plan.depth),
            "k": (*plan.batch, k_heads, plan.cols, plan.depth),
            "v": (*plan.batch, k_heads, plan.cols, plan.depth_v),
            "bias": (*plan.batch, heads, plan.rows, plan.cols),
        }
        self.per_row = (*plan.batch, heads, plan.rows)

    def wants(self, *names: str) -> bool:
        """Whether any of the named operands is there and wants a gradient."""
        return any(self.needs[n] and self.named[n] is not None for n in names)

    def scratch(self, shape: Sequence[int], dtype: str | None = None) -> Array:
        return arrays.empty(shape, dtype or self.plan.wide, self.operands[0])

    def prepare(self, outputs: Sequence[Array], cotangents: dict[str, Array]) -> None:
        """Mark bad rows; reduce outputs and cotangents to two numbers and a mark per query."""
        plan, rows = self.plan, self.plan.entries * self.plan.heads
        self.marks = _mark(self.operands, plan, self.launcher)
        self.padded = -(-plan.rows // 128) * 128
        self.saved = (
            self.scratch((rows, self.padded)), self.scratch((rows, self.padded)),
            self.scratch((rows, _words(plan.rows)), "int32"),
        )  # fmt: skip
        self.dsink = self.scratch(self.per_row) if self.wants("sink") else None
        self.dout, dlse = cotangents.get("dout"), cotangents.get("dlse")
        absent = (0,) * 6
        self.dout_steps = plan.steps.get("dout", absent)
        out, lse = (arrays.contiguous(x) for x in outputs)
        args = (
            out, lse, self.dout, dlse, self.named["sink"], *self.saved, self.dsink, plan.entries,
            self.padded, int(plan.tiled), *self.dout_steps, *plan.steps.get("dlse", absent),
            *plan.scalars,
        )  # fmt: skip
        blocks = -(-rows * (self.padded // 32) // (attend_specs.ROWS_THREADS // 32))
        _launch(self.launcher, attend_specs.STATS[plan.dtype], blocks, args)

    def over_keys(self) -> dict[str, Array]:
        """Gradients of q, bias and slopes: a block owns queries and walks over the keys."""
        plan, grads = self.plan, {}
        dq, dq_wide = self.targets("q")
        dbias = dslopes = None
        if self.wants("bias"):
            bias, dense = self.named["bias"], self.is_full("bias")
            kind = arrays.dtype_name(bias) if dense else plan.wide
            dbias = self.scratch(bias.shape if dense else self.shapes["bias"], kind)
        if self.wants("slopes"):
            dslopes = self.scratch(self.per_row)
        kernel = _kernel(plan, attend_specs.QUERIES)
        args = (
            *self.operands, *self.marks, self.dout, *self.saved, dq, dq_wide, dbias, dslopes,
            self.padded, attend_plan.KINDS[arrays.dtype_name(dbias)] if dbias is not None else 0,
            *self.dout_steps, *plan.scalars,
        )  # fmt: skip
        tiles = -(-plan.rows // kernel.rows) * plan.entries * plan.heads
        _launch(self.launcher, kernel.spec, tiles, args)
        if self.wants("q"):
            grads["q"] = self.finish("q", dq, dq_wide)
        if dbias is not None:
            grads["bias"] = self.finish("bias", dbias if self.is_full("bias") else None, dbias)
        if dslopes is not None:
            grads["slopes"] = self.summed("slopes", dslopes)
        return grads

    def over_queries(self) -> dict[str, Array]:
        """Gradients of k and v: a block owns keys and walks over the queries of its heads."""
        plan = self.plan
        dk, dk_wide = self.targets("k")
        dv, dv_wide = self.targets("v")
        kernel = _kernel(plan, attend_specs.KEYS)
        args = (
            *self.operands, *self.marks, self.dout, *self.saved, dk, dv, dk_wide, dv_wide,
            self.padded, *self.dout_steps, *plan.scalars,
        )  # fmt: skip
        tiles = -(-plan.cols // kernel.rows) * plan.entries * (plan.heads // plan.group)
        _launch(self.launcher, kernel.spec, tiles, args)
        pairs = {"k": (dk, dk_wide), "v": (dv, dv_wide)}
        return {name: self.finish(name, *pair) for name, pair in pairs.items() if self.wants(name)}

    def is_full(self, name: str) -> bool:
        """Whether an operand repeats along no axis, so that its gradient needs no sum."""
        shape = tuple(self.named[name].shape)
        return (1,) * (len(self.shapes[name]) - len(shape)) + shape == self.shapes[name]

    def targets(self, name: str) -> tuple[Array | None, Array | None]:
        """Where a kernel writes a gradient: the result itself, or a wide part to be summed."""
        if not self.wants(name):
            return None, None
        if self.is_full(name):
            return self.scratch(self.named[name].shape, self.plan.dtype), None
        return None, self.scratch(self.shapes[name])

    def finish(self, name: str, done: Array | None, wide: Array | None) -> Array:
        if done is not None:
            return done
        return unbroadcast(wide, self.shapes[name], self.named[name], self.launcher)

    def summed(self, name: str, per_row: Array) -> Array:
        return unbroadcast(per_row, self.per_row, self.named[name], self.launcher, trailing=1)


def _kernel(plan: Plan, table: dict[Any, Any]) -> attend_specs.Tiled:
    """The instance with the smallest head dimension that holds both D and Dv."""
    depths = sorted(d for dtype, d in table if dtype == plan.dtype)
    return table[plan.dtype, next(d for d in depths if d >= max(plan.depth, plan.depth_v))]


def _launch(launcher: Launcher, spec: Any, blocks: int, args: Sequence[Any]) -> None:
    if blocks > 0:
        launcher.launch(spec, (blocks,), (spec.block,), spec.shared, args)


def _words(rows: int) -> int:
    return -(-rows // 32)


def _mark(operands: Sequence[Array], plan: Plan, launcher: Launcher) -> tuple[Array, Array]:
    """One bit per row of q, and per row of k with v, that is set where the row is not finite."""
    q, k, v = operands[:3]
    q_words = plan.entries * plan.heads * _words(plan.rows)
    k_words = plan.entries * (plan.heads // plan.group) * _words(plan.cols)
    marks = arrays.empty((q_words,), "int32", q), arrays.empty((k_words,), "int32", q)
    blocks = -(-(q_words + k_words) // (attend_specs.ROWS_THREADS // 32))
    args = (q, k, v, *marks, plan.entries, *plan.scalars)
    _launch(launcher, attend_specs.MARKS[plan.dtype], blocks, args)
    return marks
