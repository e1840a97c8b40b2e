"""One attention call as numbers: sizes, strides and options in the form the attention kernels read.

The order of the scalars here is the order of ``ATTEND_PLAN_PARAMS`` in ``include/attend.cuh``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import arrays

Array = Any
Strides = tuple[int, ...]

KINDS = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3}
LENGTH_BYTES = {"int32": 4, "int64": 8}
BATCH_AXES = 3
# Lengths stay below this and an open side of a window is this wide: kernels add in 32 bits.
UNBOUNDED = 1 << 28
MAX_DEPTH = 256

SIZES = ("b1", "b2", "heads", "group", "rows", "cols", "depth", "depth_v")
STRIDED = ("q", "k", "v", "mask", "bias", "sink", "slopes", "q_lengths", "k_lengths")
OPTIONS = (
    "left", "right", "upper_left", "extras", "vector",
    "bias_kind", "sink_kind", "slopes_kind", "q_lengths_bytes", "k_lengths_bytes",
)  # fmt: skip
# How many axes of each operand follow its batch axes, and which of (head, i, j) they are.
TRAILING = {
    "q": "hij", "k": "hij", "v": "hij", "mask": "hij", "bias": "hij", "sink": "h", "slopes": "h",
    "q_lengths": "", "k_lengths": "", "dout": "hij", "dlse": "hi",
}  # fmt: skip


def axes_params(name: str) -> str:
    """Kernel parameters that hold the strides of operand `name`."""
    return ", ".join(f"long long {name}_{axis}" for axis in ("b0", "b1", "b2", "h", "i", "j"))


PARAMS = ", ".join((
    *(f"long long {name}" for name in SIZES),
    *(axes_params(name) for name in STRIDED),
    *(f"long long {name}" for name in OPTIONS),
    "double scale", "double softcap",
))  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Sizes and scalars of one call; `steps` has the six strides of every operand that is there."""

    batch: tuple[int, ...]
    merged: tuple[int, int, int]
    heads: int
    group: int
    rows: int
    cols: int
    depth: int
    depth_v: int
    dtype: str
    steps: dict[str, Strides] = field(repr=False)
    scalars: tuple[int | float, ...] = field(repr=False)

    @property
    def entries(self) -> int:
        """Number of batch entries."""
        b0, b1, b2 = self.merged
        return b0 * b1 * b2

    @property
    def wide(self) -> str:
        """The dtype that sums are kept in."""
        return "float64" if self.dtype == "float64" else "float32"

    @property
    def tiled(self) -> bool:
        """Whether tensor cores take the call."""
        return self.dtype in ("float16", "bfloat16") and max(self.depth, self.depth_v) <= 128


class Operand(NamedTuple):
    """What the plan of a call depends on, of one operand."""

    shape: tuple[int, ...]
    strides: Strides
    dtype: str
    is_aligned: bool  # to 16 bytes


Operands = tuple[tuple[str, Operand], ...]


def why_not(operands: Sequence[Array], extra: dict[str, Array] | None = None) -> str | None:
    """Say in one sentence why the kernels can't take these operands, or return None."""
    return _reason(_look(operands, extra or {}))


def make(
    operands: Sequence[Array],
    *,
    scale: float,
    causal: bool | str = False,
    window: tuple[int | None, int | None] | None = None,
    softcap: float | None = None,
    extra: dict[str, Array] | None = None,
) -> Plan:
    """Plan a call; `extra` holds cotangents by name, whose strides are wanted too.

    Plans are kept: calls that differ in nothing but numbers share one.
    """
    window = None if window is None else (window[0], window[1])
    return _plan(_look(operands, extra or {}), float(scale), causal, window, float(softcap or 0.0))


def _look(operands: Sequence[Array], extra: dict[str, Array]) -> Operands:
    named = (*zip(STRIDED, operands, strict=True), *extra.items())
    return tuple([
        (name, Operand(tuple(x.shape), arrays.strides(x), arrays.dtype_name(x),
                       arrays.address(x) % 16 == 0))
        for name, x in named
        if x is not None
    ])  # fmt: skip


@functools.lru_cache(4096)
def _reason(operands: Operands) -> str | None:
    named = dict(operands)
    dtype = named["q"].dtype
    if dtype not in KINDS:
        return f"attention kernels work on float16, bfloat16, float32 and float64, not {dtype}"
    if any(named[name].dtype != dtype for name in "kv"):
        return "q, k and v have different dtypes"
    if max(named["q"].shape[-1], named["v"].shape[-1]) > MAX_DEPTH:
        return f"attention kernels take head dimensions up to {MAX_DEPTH}"
    if max(named["q"].shape[-2], named["k"].shape[-2]) >= UNBOUNDED:
        return f"attention kernels take fewer than {UNBOUNDED} queries and keys"
    if len(_merge(*_batch_steps(named))[0]) > BATCH_AXES:
        return f"the batch axes cannot be merged to {BATCH_AXES} or fewer"
    return _reason_of_dtypes(named, dtype)


def _reason_of_dtypes(named: dict[str, Operand], dtype: str) -> str | None:
    fits = {
        "mask": (("bool",), "the mask is not boolean"),
        "bias": ((dtype, "float32"), "the bias has neither q's dtype nor float32"),
        "sink": (KINDS, "the sink has no floating dtype that kernels read"),
        "slopes": (KINDS, "the slopes have no floating dtype that kernels read"),
        "q_lengths": (LENGTH_BYTES, "the lengths of queries are neither int32 nor int64"),
        "k_lengths": (LENGTH_BYTES, "the lengths of keys are neither int32 nor int64"),
    }
    for name, (dtypes, reason) in fits.items():
        if name in named and named[name].dtype not in dtypes:
            return reason
    return None


@functools.lru_cache(4096)
def _plan(
    operands: Operands,
    scale: float,
    causal: bool | str,
    window: tuple[int | None, int | None] | None,
    softcap: float,
) -> Plan:
    reason = _reason(operands)
    if reason is not None:
        raise NotImplementedError(f"attend: {reason}")
    named = dict(operands)
    q, k, v = (named[name].shape for name in "qkv")
    batch, steps = _batch_steps(named)
    sizes, merged = _merge(batch, steps)
    fill = BATCH_AXES - len(sizes)
    b0, b1, b2 = (1,) * fill + sizes
    strides = {name: (0,) * fill + merged[name] + _trailing_steps(name, x) for name, x in operands}
    shape = {
        "heads": q[-3], "group": max(q[-3] // max(k[-3], 1), 1),
        "rows": q[-2], "cols": k[-2], "depth": q[-1], "depth_v": v[-1],
    }  # fmt: skip
    numbers = {"b1": b1, "b2": b2, **shape, **_options(named, strides, causal, window, softcap)}
    scalars = (
        *(numbers[name] for name in SIZES),
        *(step for name in STRIDED for step in strides.get(name, (0,) * 6)),
        *(numbers[name] for name in OPTIONS),
        scale, softcap,
    )  # fmt: skip
    dtype = named["q"].dtype
    return Plan(batch, (b0, b1, b2), **shape, dtype=dtype, steps=strides, scalars=scalars)


def _batch_steps(named: dict[str, Operand]) -> tuple[tuple[int, ...], dict[str, Strides]]:
    """The full batch shape, and the strides of every operand along it (0 where it repeats)."""
    ranks = {name: max(len(x.shape) - len(TRAILING[name]), 0) for name, x in named.items()}
    full = max(ranks.values())
    batch = [1] * full
    steps = {}
    for name, x in named.items():
        missing = full - ranks[name]
        walk = [0] * full
        for axis, (size, step) in enumerate(zip(x.shape[: ranks[name]], x.strides), missing):
            if size != 1:
                batch[axis], walk[axis] = size, step
        steps[name] = tuple(walk)
    return tuple(batch), steps


def _merge(
    batch: tuple[int, ...], steps: dict[str, Strides]
) -> tuple[tuple[int, ...], dict[str, Strides]]:
    """Drop batch axes of size 1 and join neighbours that every operand walks evenly."""
    sizes: list[int] = []
    walks: list[dict[str, int]] = []
    for axis, size in enumerate(batch):
        walk = {name: step[axis] for name, step in steps.items()}
        if size == 1:
            continue
        if sizes and all(walks[-1][name] == walk[name] * size for name in walk):
            sizes[-1] *= size
            walks[-1] = walk
        else:
            sizes.append(size)
            walks.append(walk)
    return tuple(sizes), {name: tuple(walk[name] for walk in walks) for name in steps}


def _trailing_steps(name: str, x: Operand) -> Strides:
    """Strides along (head, i, j); 0 along axes that the operand lacks or repeats along."""
    wanted = TRAILING[name]
    missing = max(len(wanted) - len(x.shape), 0)
    last = len(x.shape) - (len(wanted) - missing)
    steps = dict.fromkeys("hij", 0)
    for axis, size, step in zip(wanted[missing:], x.shape[last:], x.strides[last:], strict=True):
        steps[axis] = 0 if size == 1 else step
    return steps["h"], steps["i"], steps["j"]


def _options(
    named: dict[str, Operand],
    strides: dict[str, Strides],
    causal: bool | str,
    window: tuple[int | None, int | None] | None,
    softcap: float,
) -> dict[str, int]:
    left, right = window or (None, None)
    left = UNBOUNDED if left is None else min(left, UNBOUNDED)
    right = UNBOUNDED if right is None else min(right, UNBOUNDED)
    kinds = {n: KINDS[named[n].dtype] if n in named else 0 for n in ("bias", "sink", "slopes")}
    bytes_of = {
        n: LENGTH_BYTES[named[n].dtype] if n in named else 0 for n in ("q_lengths", "k_lengths")
    }
    return {
        "left": left, "right": min(right, 0) if causal else right,
        "upper_left": int(causal == "upper_left"),
        "extras": int(softcap != 0 or any(n in named for n in ("mask", "bias", "slopes"))),
        "vector": sum(
            _fits_vectors(named[name], strides[name]) << bit
            for bit, name in enumerate(("q", "k", "v", "dout"))
            if name in named
        ),
        **{f"{name}_kind": kind for name, kind in kinds.items()},
        **{f"{name}_bytes": size for name, size in bytes_of.items()},
    }  # fmt: skip


def _fits_vectors(x: Operand, strides: Strides) -> bool:
    """Whether every row of a 16-bit operand can be copied 16 bytes at a time."""
    *outer, column = strides
    is_dense = column == 1 or x.shape[-1] == 1
    return is_dense and x.is_aligned and all(step % 8 == 0 for step in outer)
