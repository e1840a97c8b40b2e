"""Softmax attention without the L x S matrix, both directions, for NumPy and CPU torch arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import pool
from .arrays import borrow
from .attend_forward import STRIPS, forward_part, forward_scratch
from .attend_gradients import gradients
from .attend_lanes import BYTES
from .attend_memory import address, scratch
from .attend_pack import CHUNK, pack_part
from .attend_plan import Call, offsets
from .attend_thin import SPLIT, THIN, merge_parts, state_width, thin_part, thin_scratch
from .tile import ROWS, VECTORS

__all__ = ["backward", "forward"]


def forward(q: Any, k: Any, v: Any, *rest: Any, **options: Any) -> tuple[Any, Any]:
    """Output and natural logsumexp; operands and options as in `anymax.primitives.attend`."""
    return evaluate((q, k, v, *rest), options, thin=q.shape[-2] <= THIN)


def evaluate(operands: tuple[Any, ...], options: dict[str, Any], *, thin: bool) -> tuple[Any, Any]:
    """The forward pass, by strips of queries or on the thin path for a few of them."""
    q = operands[0]
    call = describe(operands, options)
    p = call.plan[0]
    out_shape = (*call.rows, call.q.shape[-2], call.v.shape[-1])
    out, lse = result(out_shape, q, call), result(out_shape[:-1], q, call)
    out_view, lse_view = borrow(out), borrow(lse)
    p["out"], p["lse"] = address(out_view), address(lse_view)
    if lse_view.size and thin:
        run_thin(call)
    elif lse_view.size:
        pack_keys(call)
        run_strips(call)
    call.arena.release()
    return narrow(out, q), lse


def describe(operands: tuple[Any, ...], options: dict[str, Any]) -> Call:
    """Operands as NumPy arrays of the computing type."""
    floats: list[Any] = [None if x is None else widen(x) for x in operands]
    dtype = floats[0].dtype
    for i in (1, 2, 4):
        if floats[i] is not None and floats[i].dtype != dtype:
            floats[i] = floats[i].astype(dtype)
    return Call(*floats, **options)


def widen(x: Any) -> np.ndarray[Any, Any]:
    """A NumPy view, of half types a float32 copy."""
    if "float16" in str(x.dtype):  # bfloat16 too, of torch and of ml_dtypes
        return x.astype(np.float32) if isinstance(x, np.ndarray) else x.float().numpy()
    return borrow(x)


def result(shape: tuple[int, ...], like: Any, call: Call) -> Any:
    """Fresh memory in the computing type and the library of `like`."""
    if isinstance(like, np.ndarray):
        return np.empty(shape, call.dtype)
    import torch

    return torch.empty(shape, dtype=torch.float64 if call.dtype.itemsize == 8 else torch.float32)


def narrow(x: Any, like: Any) -> Any:
    """Rounded to the type of `like`, once."""
    if x.dtype == like.dtype:
        return x
    return x.astype(like.dtype) if isinstance(x, np.ndarray) else x.to(like.dtype)


def starts(call: Call) -> list[np.ndarray[Any, Any]]:
    """Addresses of the slices of k and of v."""
    return [address(x) + offsets(x, x.shape[:-2]) for x in (call.k, call.v)]


def pack_keys(call: Call) -> None:
    """Pack every slice of k and v once, however many heads and batch entries read it."""
    p = call.plan[0]
    k_at, v_at = starts(call)
    chunks = -(-int(p["wide_keys"]) // CHUNK)
    call.room(k_at.size * int(p["wide_keys"] * p["wide"]), call.dtype, "kt")
    call.room(v_at.size * int(p["wide_keys"] * p["wide_v"]), call.dtype, "v")
    for name, count in (("k", k_at.size), ("v", v_at.size)):
        call.room(count * int(p["wide_keys"]), np.uint8, name + "_flags")
        call.room(count * chunks, np.int64, name + "_bad")
    pack, need = pack_part.code(call.dtype), VECTORS * BYTES // call.dtype.itemsize * int(p["wide"])

    def task(part: int) -> None:
        pack(scratch(need, call.dtype), call.plan, k_at, v_at, part)

    pool.run(task, (k_at.size + v_at.size) * chunks)


def run_strips(call: Call) -> None:
    p = call.plan[0]
    groups = -(-int(p["length"]) // (STRIPS * ROWS))
    work, need = forward_part.code(call.dtype), forward_scratch(p)

    def task(part: int) -> None:
        work(scratch(need, call.dtype), call.plan, call.heads, part)

    pool.run(task, call.heads.size * groups)


def run_thin(call: Call) -> None:
    p = call.plan[0]
    splits, groups = max(1, -(-int(p["keys"]) // SPLIT)), call.heads.size // int(p["group"])
    k_at, v_at = starts(call)
    states = call.arena.take(
        call.heads.size * int(p["length"]) * splits * state_width(p), call.dtype
    )
    work, merge, need = thin_part.code(call.dtype), merge_parts.code(call.dtype), thin_scratch(p)

    def task(part: int) -> None:
        work(scratch(need, call.dtype), call.plan, call.heads, k_at, v_at, states, part)

    pool.run(task, groups * splits)
    for group in range(groups):
        merge(states, call.plan, call.heads, group)


def backward(
    operands: tuple[Any, ...], outputs: tuple[Any, ...], cotangents: tuple[Any, ...], needs: Any,
    **options: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """One gradient per operand, None where not needed.

    Weights are recomputed as exp(score - lse), which is exact only if the scores are rounded as
    they were for lse; those of the thin path are not, so it is evaluated again by strips.
    """
    if operands[0].shape[-2] <= THIN:
        outputs = evaluate(operands, options, thin=False)
    return differentiate(operands, outputs, cotangents, needs, options)


def differentiate(
    operands: tuple[Any, ...], outputs: tuple[Any, ...], cotangents: tuple[Any, ...], needs: Any,
    options: dict[str, Any],
) -> tuple[Any, ...]:  # fmt: skip
    """One gradient per operand, None where not needed."""
    call = describe(operands, options)
    known: list[Any] = [
        None if x is None else widen(x).astype(call.dtype, copy=False)
        for x in (*outputs, *cotangents)
    ]
    out, lse, dout, dlse = known
    found = gradients(call, starts(call), out, lse, dout, dlse, needs)
    call.arena.release()
    return tuple(
        None if g is None else hand_back(g, x) for g, x in zip(found, operands, strict=True)
    )


def hand_back(g: np.ndarray[Any, Any], like: Any) -> Any:
    """A gradient in the library and type of its operand."""
    if isinstance(like, np.ndarray):
        return g.astype(like.dtype, copy=False)
    import torch

    return torch.from_numpy(g).to(like.dtype)
