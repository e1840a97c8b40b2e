"""Memory, order and final sums of the backward pass of attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import pool
from .attend_backward import (
    KEYS,
    backward_part,
    backward_scratch,
    gather_part,
)
from .attend_backward_pack import pack_keys_part, pack_queries_part
from .attend_lanes import BYTES
from .attend_memory import address, scratch
from .attend_pack import LEFT
from .attend_plan import Call, ceil_to, offsets, reduce_to
from .tile import ROWS, VECTORS

__all__ = ["gradients"]

PARTS = 32  # wanted: enough for many cores; each costs a buffer for dq
MOST_CHUNKS = 8

Array = np.ndarray[Any, Any]


def gradients(
    call: Call, starts: list[Array], out: Array, lse: Array, dout: Array | None, dlse: Array | None,
    needs: Any,
) -> list[Array | None]:  # fmt: skip
    """Gradients of q, k, v, mask, bias, sink, slopes and lengths in the computing type."""
    shape = (*call.rows, call.q.shape[-2], call.v.shape[-1])
    full = _targets(call, needs)
    if math.prod(shape[:-1]):
        _note(call, "out", out, shape)
        _note(call, "dout", dout, shape)
        _note(call, "lse", lse, shape[:-1])
        _note(call, "dlse", dlse, shape[:-1])
        _plan_chunks(call)
        _pack(call, starts)
        _sum_bias(call, full, needs[4])
        _sweep(call)
    return _reduce(call, full, needs)


def _note(call: Call, name: str, array: Array | None, shape: tuple[int, ...]) -> None:
    """Address of a contiguous array; zeros for a cotangent that is None."""
    array = np.zeros(shape, call.dtype) if array is None else np.ascontiguousarray(array)
    call.kept.append(array)
    call.plan[0][name] = address(array)


def _targets(call: Call, needs: Any) -> dict[int, Array]:
    """Memory for the gradients before sums over broadcast axes."""
    key_rows = (*call.batch, call.k.shape[-3], call.k.shape[-2])
    shapes = {
        0: (*call.rows, *call.q.shape[-2:]),
        1: (*key_rows, call.k.shape[-1]),
        2: (*key_rows, call.v.shape[-1]),
    }
    full = {i: np.zeros(shape, call.dtype) for i, shape in shapes.items() if needs[i]}
    if needs[5]:
        full[5] = np.zeros(call.rows)
    for i, name in ((0, "dq"), (1, "dk"), (2, "dv"), (5, "dsink")):
        if i in full:
            call.plan[0][name] = address(full[i])
    return full


def _plan_chunks(call: Call) -> None:
    p = call.plan[0]
    groups = call.heads.size // int(p["group"])
    blocks = -(-int(p["keys"]) // KEYS)
    chunks = max(1, min(blocks, -(-PARTS // groups), MOST_CHUNKS))
    p["per_chunk"] = -(-blocks // chunks)
    p["chunks"] = max(1, -(-blocks // max(int(p["per_chunk"]), 1)))
    padded = ceil_to(int(p["length"]), ROWS)
    if p["dq"]:
        size = int(p["chunks"]) * call.heads.size * padded * int(p["wide"])
        call.room(size, call.dtype, "dq_parts")


def _pack(call: Call, starts: list[Array]) -> None:
    """Fresh copies of every operand in the layouts of the products."""
    p = call.plan[0]
    k_at, v_at = starts
    wide_keys = int(p["wide_keys"])
    rows = call.heads.size * ceil_to(int(p["length"]), ROWS)
    for name, count in (
        ("kt", k_at.size * wide_keys * p["wide"]),
        ("k_rows", k_at.size * wide_keys * p["wide"]),
        ("vt", v_at.size * wide_keys * p["wide_v"]),
        ("q_rows", (rows + LEFT) * p["wide"]),
        ("q_strips", rows // ROWS * LEFT * p["wide"]),
        ("do_rows", (rows + LEFT) * p["wide_v"]),
        ("do_strips", rows // ROWS * LEFT * p["wide_v"]),
        ("norm", 2 * rows),
        ("delta", rows),
    ):
        call.room(int(count), call.dtype, name)
    call.room(rows, np.uint8, "dead")
    call.room(k_at.size * wide_keys, np.uint8, "k_flags")
    call.room(v_at.size * wide_keys, np.uint8, "v_flags")
    witness, keys, queries = np.empty(1, call.dtype), k_at.size + v_at.size, call.heads.size
    need = VECTORS * BYTES // call.dtype.itemsize * int(p["wide_v"])
    pack, pack_queries = pack_keys_part.code(call.dtype), pack_queries_part.code(call.dtype)

    def task(part: int) -> None:
        if part < keys:
            pack(scratch(need, call.dtype), call.plan, k_at, v_at, part)
        else:
            pack_queries(witness, call.plan, call.heads, part - keys)

    pool.run(task, keys + queries)


def _sum_bias(call: Call, full: dict[int, Array], bias: bool) -> None:
    """Where dbias goes: its own memory if it has both axes, else small sums per head and chunk."""
    p, chunks = call.plan[0], int(call.plan[0]["chunks"])
    if call.slopes is not None:
        full[6] = np.zeros((chunks, *call.rows))
        p["dslopes"] = address(full[6])
    if not bias or call.bias is None:
        return
    last = call.bias.shape[-2:]
    if call.bias_is_matrix:
        shape = call.bias.shape
    else:
        shape = (1 if last[1] > 1 else chunks, *call.rows, *last)
    g = full[4] = np.zeros(shape, call.dtype)
    one = g if call.bias_is_matrix else g[0]
    p["dbias"], p["dbias_chunk"] = 1, 0 if g is one or len(g) == 1 else g.strides[0]
    p["dbias_row"], p["dbias_col"] = (
        step if count > 1 else 0 for step, count in zip(one.strides[-2:], last, strict=True)
    )
    call.heads["dbias"] = address(g) + offsets(one, call.rows)


def _sweep(call: Call) -> None:
    """Run all parts; those that add to the same cells of dbias come in rounds."""
    p, chunks = call.plan[0], int(call.plan[0]["chunks"])
    groups = np.arange(call.heads.size // int(p["group"]))
    rounds = [groups]
    if p["dbias"] and call.bias_is_matrix:
        rounds = _rounds(call.heads["dbias"][:: int(p["group"])])
    work, need = backward_part.code(call.dtype), backward_scratch(p)
    for members in rounds:

        def task(part: int, members: Array = members) -> None:
            chunk, member = divmod(
                part, members.size
            )  # under causality the first keys take longest
            one = int(members[member]) * chunks + chunk
            work(scratch(need, call.dtype), call.plan, call.heads, one)

        pool.run(task, members.size * chunks)
    if p["dq"]:
        gather, witness = gather_part.code(call.dtype), np.empty(1, call.dtype)
        pool.run(lambda head: gather(witness, call.plan, call.heads, head), call.heads.size)


def _rounds(places: Array) -> list[Array]:
    """Groups split so that no two of a round write to the same place."""
    seen: dict[int, int] = {}
    rounds: list[list[int]] = []
    for group, place in enumerate(places.tolist()):
        turn = seen[place] = seen.get(place, -1) + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(group)
    return [np.asarray(members) for members in rounds]


def _reduce(call: Call, full: dict[int, Array], needs: Any) -> list[Array | None]:
    """Sums over chunks and over the axes along which operands were broadcast."""
    operands = (call.q, call.k, call.v, call.mask, call.bias, call.sink, call.slopes, None, None)
    if 6 in full:
        full[6] = full[6].sum(axis=0)
    if 4 in full and not call.bias_is_matrix:
        full[4] = full[4].sum(axis=0)
    found: list[Array | None] = []
    for i, operand in enumerate(operands):
        if operand is None or not needs[i] or i == 3:
            found.append(None)
        elif i not in full:
            found.append(np.zeros(operand.shape, call.dtype))
        else:
            found.append(reduce_to(full[i], operand.shape).astype(call.dtype, copy=False))
    return found
