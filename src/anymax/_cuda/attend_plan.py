"""One attention call as numbers: sizes, strides and options in the form the attention kernels read.

The order of the scalars here is the order of ``ATTEND_PLAN_PARAMS`` in ``include/attend.cuh``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import arrays

Array = Any
Strides = tuple[int, ...]

KINDS = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3}
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


def why_not(operands: Sequence[Array | None], extra: dict[str, Array] | None = None) -> str | None:
    """Say in one sentence why the kernels can't take these operands, or return None."""
    q, k, v, mask, bias, sink, slopes, q_lengths, k_lengths = operands
    dtype = arrays.dtype_name(q)
    if dtype not in KINDS:
        return f"attention kernels work on float16, bfloat16, float32 and float64, not {dtype}"
    if any(arrays.dtype_name(x) != dtype for x in (k, v)):
        return "q, k and v have different dtypes"
    if max(q.shape[-1], v.shape[-1]) > MAX_DEPTH:
        return f"attention kernels take head dimensions up to {MAX_DEPTH}"
    if max(q.shape[-2], k.shape[-2]) >= UNBOUNDED:
        return f"attention kernels take fewer than {UNBOUNDED} queries and keys"
    if mask is not None and arrays.dtype_name(mask) != "bool":
        return "the mask is not boolean"
    if bias is not None and arrays.dtype_name(bias) not in (dtype, "float32"):
        return "the bias has neither q's dtype nor float32"
    if any(x is not None and arrays.dtype_name(x) not in KINDS for x in (sink, slopes)):
        return "the sink or the slopes are not of a floating dtype that kernels read"
    lengths = [x for x in (q_lengths, k_lengths) if x is not None]
    if any(arrays.dtype_name(x) not in ("int32", "int64") for x in lengths):
        return "the lengths are neither int32 nor int64"
    if len(_merge(*_batch_steps(operands, extra or {}))[0]) > BATCH_AXES:
        return f"the batch axes cannot be merged to {BATCH_AXES} or fewer"
    return None


def make(
    operands: Sequence[Array | None],
    *,
    scale: float,
    causal: bool | str = False,
    window: tuple[int | None, int | None] | None = None,
    softcap: float | None = None,
    extra: dict[str, Array] | None = None,
) -> Plan:
    """Plan a call; `extra` holds cotangents by name, whose strides are wanted too."""
    extra = extra or {}
    reason = why_not(operands, extra)
    if reason is not None:
        raise NotImplementedError(f"attend: {reason}")
    present = _present(operands, extra)
    q, k, v = operands[:3]
    batch, steps = _batch_steps(operands, extra)
    sizes, merged = _merge(batch, steps)
    fill = BATCH_AXES - len(sizes)
    b0, b1, b2 = (1,) * fill + sizes
    strides = {
        name: (0,) * fill + merged[name] + _trailing_steps(name, x) for name, x in present.items()
    }
    shape = {
        "heads": q.shape[-3], "group": max(q.shape[-3] // max(k.shape[-3], 1), 1),
        "rows": q.shape[-2], "cols": k.shape[-2], "depth": q.shape[-1], "depth_v": v.shape[-1],
    }  # fmt: skip
    named: dict[str, int] = {"b1": b1, "b2": b2, **shape}
    named |= _options(present, strides, causal, window, softcap)
    scalars = (
        *(named[name] for name in SIZES),
        *(step for name in STRIDED for step in strides.get(name, (0,) * 6)),
        *(named[name] for name in OPTIONS),
        float(scale), float(softcap or 0.0),
    )  # fmt: skip
    return Plan(batch, (b0, b1, b2), **shape, dtype=arrays.dtype_name(q), steps=strides,
                scalars=scalars)  # fmt: skip


def _present(operands: Sequence[Array | None], extra: dict[str, Array]) -> dict[str, Array]:
    named = dict(zip(STRIDED, operands, strict=True))
    return {name: x for name, x in {**named, **extra}.items() if x is not None}


def _batch_steps(
    operands: Sequence[Array | None], extra: dict[str, Array]
) -> tuple[tuple[int, ...], dict[str, Strides]]:
    """The full batch shape, and the strides of every operand along it (0 where it repeats)."""
    present = _present(operands, extra)
    parts = {}
    for name, x in present.items():
        rank = max(len(x.shape) - len(TRAILING[name]), 0)
        parts[name] = (tuple(x.shape[:rank]), arrays.strides(x)[:rank])
    full = max(len(shape) for shape, _ in parts.values())
    padded = {
        n: ((1,) * (full - len(s)) + s, (0,) * (full - len(t)) + t) for n, (s, t) in parts.items()
    }
    batch = tuple(next((s[a] for s, _ in padded.values() if s[a] != 1), 1) for a in range(full))
    steps = {
        name: tuple(0 if size == 1 else step for size, step in zip(shape, strides, strict=True))
        for name, (shape, strides) in padded.items()
    }
    return batch, steps


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


def _trailing_steps(name: str, x: Array) -> Strides:
    """Strides along (head, i, j); 0 along axes that `x` lacks or repeats along."""
    wanted = TRAILING[name]
    shape, strides = tuple(x.shape), arrays.strides(x)
    missing = max(len(wanted) - len(shape), 0)
    last = len(shape) - (len(wanted) - missing)
    steps = dict.fromkeys("hij", 0)
    for axis, size, step in zip(wanted[missing:], shape[last:], strides[last:], strict=True):
        steps[axis] = 0 if size == 1 else step
    return steps["h"], steps["i"], steps["j"]


def _options(
    present: dict[str, Array],
    strides: dict[str, Strides],
    causal: bool | str,
    window: tuple[int | None, int | None] | None,
    softcap: float | None,
) -> dict[str, int]:
    left, right = window or (None, None)
    left = UNBOUNDED if left is None else min(left, UNBOUNDED)
    right = UNBOUNDED if right is None else min(right, UNBOUNDED)
    vector = sum(
        _fits_vectors(present[name], strides[name]) << bit
        for bit, name in enumerate(("q", "k", "v", "dout"))
        if name in present
    )
    return {
        "left": left, "right": min(right, 0) if causal else right,
        "upper_left": int(causal == "upper_left"),
        "extras": int(bool(softcap) or any(n in present for n in ("mask", "bias", "slopes"))),
        "vector": vector,
        **{f"{n}_kind": _kind(present.get(n)) for n in ("bias", "sink", "slopes")},
        **{f"{n}_bytes": _bytes(present.get(n)) for n in ("q_lengths", "k_lengths")},
    }  # fmt: skip


def _fits_vectors(x: Array, strides: Strides) -> int:
    """Whether every row of `x` can be copied 16 bytes at a time."""
    per_16_bytes = 16 // {"float32": 4, "float64": 8}.get(arrays.dtype_name(x), 2)
    *outer, column = strides
    dense = column == 1 or x.shape[-1] == 1
    return int(dense and arrays.address(x) % 16 == 0 and all(s % per_16_bytes == 0 for s in outer))


def _kind(x: Array | None) -> int:
    return 0 if x is None else KINDS[arrays.dtype_name(x)]


def _bytes(x: Array | None) -> int:
    return 0 if x is None else {"int32": 4, "int64": 8}[arrays.dtype_name(x)]
