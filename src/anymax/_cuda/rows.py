"""Arrays seen as rows: what the launch code of every row kernel shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import arrays
from .arrays import Array
from .spec import KernelSpec, parse_signature, register

ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
C_TYPES = {"float64": "double", "float32": "float", "float16": "f16", "bfloat16": "bf16"}
WIDE_TYPES = {"float64": "double", "float32": "float", "float16": "float", "bfloat16": "float"}

PACK_BYTES = 16
WARP, WARPS_PER_BLOCK, BLOCK = 32, 4, 256
# Up to here a warp takes a row: 32 numbers a lane. A guess; not measured.
LONGEST_WARP_ROW = 1024

MASK_SIGNATURE = (
    "const unsigned char* mask, long long mask_outer, long long mask_middle, long long mask_inner, "
    "long long mask_middle_size, long long mask_inner_size, long long mask_column"
)

Group = tuple[int, int]  # size and stride of some merged axes


@dataclass(frozen=True)
class Rows:
    """A (rows, cols) view: a row is contiguous, and rows are `stride` elements apart."""

    array: Array
    rows: int
    cols: int
    stride: int
    batch: tuple[int, ...]
    last: tuple[int, ...]


def wide_dtype(dtype: str) -> str:
    """Dtype in which a kernel computes."""
    return "float64" if dtype == "float64" else "float32"


def order(ndim: int, axes: Sequence[int]) -> tuple[int, ...]:
    """All axes, those in `axes` last."""
    return (*(a for a in range(ndim) if a not in axes), *axes)


def inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `permutation`."""
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


def as_rows(x: Array, axes: Sequence[int]) -> Rows:
    """Bring `axes` last and see the rest as rows; copies only where strides do not allow it."""
    moved = arrays.permute(x, order(x.ndim, axes)) if x.ndim else x
    split = x.ndim - len(axes)
    batch, last = tuple(moved.shape[:split]), tuple(moved.shape[split:])
    rows, cols = math.prod(batch), math.prod(last)
    steps = arrays.strides(moved)
    over_rows, over_cols = merge(batch, steps[:split]), merge(last, steps[split:])
    fits = len(over_rows) <= 1 and (not over_cols or [s for _, s in over_cols] == [1])
    if rows == 0 or cols == 0 or not fits:
        return Rows(arrays.contiguous(moved), rows, cols, cols, batch, last)
    return Rows(moved, rows, cols, over_rows[0][1] if over_rows else cols, batch, last)


def merge(shape: Sequence[int], strides: Sequence[int]) -> list[Group]:
    """Merge neighbouring axes that one stride can walk; axes of size 1 vanish."""
    groups: list[Group] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if groups and groups[-1][1] == size * stride:
            groups[-1] = (groups[-1][0] * size, stride)
        else:
            groups.append((size, stride))
    return groups


def mask_arguments(where: Array | None, shape: Sequence[int], axes: Sequence[int]) -> tuple:
    """Kernel arguments for a boolean array that broadcasts against `shape`: see MASK_SIGNATURE."""
    if where is None:
        return (None, 0, 0, 0, 1, 1, 0)
    full = arrays.broadcast_to(where, shape)
    moved = arrays.permute(full, order(len(shape), axes)) if shape else full
    split = len(shape) - len(axes)
    for candidate in (moved, arrays.contiguous(moved)):
        steps = arrays.strides(candidate)
        over_rows = merge(candidate.shape[:split], steps[:split])
        over_cols = merge(candidate.shape[split:], steps[split:])
        if len(over_rows) <= 3 and len(over_cols) <= 1:
            break
    _, (n1, s1), (n2, s2) = outer = [*[(1, 0)] * (3 - len(over_rows)), *over_rows]
    return (candidate, outer[0][1], s1, s2, n1, n2, over_cols[0][1] if over_cols else 0)


def packs_fit(dtype: str, cols: int, *operands: tuple[Array, int]) -> bool:
    """Whether every row of every (array, row stride) is equally far from a multiple of 16 bytes."""
    item = ITEM_BYTES[dtype]
    first, stride = operands[0]
    start = arrays.address(first)
    return start % item == 0 and all(
        (arrays.address(other) - start) % PACK_BYTES == 0
        and (step - stride) * item % PACK_BYTES == 0
        for other, step in operands[1:]
    )


@dataclass(frozen=True)
class RowKernels:
    """The instances of one kernel template ``<T, GROUP, VEC, BLOCK>``: one per dtype and layout."""

    name: str
    source: Path
    signature: str

    def register(self) -> RowKernels:
        """Enter every instance in the registry."""
        for dtype in C_TYPES:
            for warp in (True, False):
                for packs in (True, False):
                    register(self.spec(dtype, warp=warp, packs=packs))
        return self

    def spec(self, dtype: str, *, warp: bool, packs: bool) -> KernelSpec:
        """Return one instance."""
        key = (self.name, dtype, warp, packs)
        if key not in _specs:
            _specs[key] = self._make(dtype, warp=warp, packs=packs)
        return _specs[key]

    def _make(self, dtype: str, *, warp: bool, packs: bool) -> KernelSpec:
        block = WARP * WARPS_PER_BLOCK if warp else BLOCK
        group = WARP if warp else BLOCK
        vec = PACK_BYTES // ITEM_BYTES[dtype] if packs else 1
        text = self.signature.replace("WIDE", WIDE_TYPES[dtype]).replace("T*", f"{C_TYPES[dtype]}*")
        return KernelSpec(
            name=f"{self.name}/{dtype}/{'warp' if warp else 'block'}{'/packs' if packs else ''}",
            source=self.source,
            instance=f"{self.name}<{C_TYPES[dtype]}, {group}, {vec}, {block}>",
            params=parse_signature(text),
            block=block,
        )


_specs: dict[tuple[str, str, bool, bool], KernelSpec] = {}


def grid(spec: KernelSpec, rows: int) -> tuple[int]:
    """Blocks for one row per warp, or per block."""
    return (rows if spec.block == BLOCK else -(-rows // WARPS_PER_BLOCK),)
