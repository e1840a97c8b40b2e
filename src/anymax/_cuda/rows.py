"""Arrays seen as rows: what the launch code of every row kernel shares."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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


class Geometry(NamedTuple):
    """An array with some axes last, as (rows, cols): a row is contiguous, rows `stride` apart."""

    rows: int
    cols: int
    stride: int
    batch: tuple[int, ...]
    last: tuple[int, ...]
    permutation: tuple[int, ...]
    undo: tuple[int, ...] | None  # None where the axes are last already
    is_copied: bool  # the strides of the array did not allow it: a contiguous copy does


def wide_dtype(dtype: str) -> str:
    """Dtype in which a kernel computes."""
    return "float64" if dtype == "float64" else "float32"


@functools.lru_cache(4096)
def geometry(shape: tuple[int, ...], strides: tuple[int, ...], axes: tuple[int, ...]) -> Geometry:
    """See an array of this shape and these strides (in elements) as rows along `axes`."""
    permutation = _last(len(shape), axes)
    split = len(shape) - len(axes)
    sizes, steps = ([part[a] for a in permutation] for part in (shape, strides))
    batch, last = tuple(sizes[:split]), tuple(sizes[split:])
    rows, cols = math.prod(batch), math.prod(last)
    over_rows, over_cols = merge(batch, steps[:split]), merge(last, steps[split:])
    fits = len(over_rows) <= 1 and (not over_cols or [step for _, step in over_cols] == [1])
    is_copied = rows == 0 or cols == 0 or not fits
    stride = over_rows[0][1] if over_rows and not is_copied else cols
    undo = tuple(sorted(range(len(shape)), key=permutation.__getitem__))
    moves = permutation != tuple(range(len(shape)))
    return Geometry(
        rows, cols, stride, batch, last, permutation, undo if moves else None, is_copied
    )


def as_rows(x: Array, axes: tuple[int, ...]) -> tuple[Array, Geometry]:
    """Return memory that holds `x` as rows and its layout; copies only if strides force it."""
    found = geometry(tuple(x.shape), arrays.strides(x), axes)
    if not found.is_copied or not x.ndim:
        return x, found
    return arrays.contiguous(arrays.permute(x, found.permutation)), found


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


def _last(ndim: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """All axes, those in `axes` last."""
    return (*(a for a in range(ndim) if a not in axes), *axes)


def mask_arguments(where: Array | None, shape: Sequence[int], axes: tuple[int, ...]) -> tuple:
    """Kernel arguments for a boolean array that broadcasts against `shape`: see MASK_SIGNATURE."""
    if where is None:
        return (None, 0, 0, 0, 1, 1, 0)
    full = tuple(shape)
    steps = _mask_steps(tuple(where.shape), arrays.strides(where), full, axes)
    if steps is None:
        moved = arrays.permute(arrays.broadcast_to(where, full), _last(len(full), axes))
        where, full = arrays.contiguous(moved), tuple(moved.shape)
        axes = tuple(range(len(full) - len(axes), len(full)))
        steps = _mask_steps(full, arrays.strides(where), full, axes)
    return (where, *(steps or ()))


@functools.lru_cache(4096)
def _mask_steps(
    own: tuple[int, ...], strides: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Strides over rows and columns; None where the rows need more than three of them."""
    missing = len(shape) - len(own)
    full = [0] * missing + [0 if n == 1 else step for n, step in zip(own, strides, strict=True)]
    permutation, split = _last(len(shape), axes), len(shape) - len(axes)
    sizes, steps = ([part[a] for a in permutation] for part in (shape, full))
    over_rows, over_cols = merge(sizes[:split], steps[:split]), merge(sizes[split:], steps[split:])
    if len(over_rows) > 3 or len(over_cols) > 1:
        return None
    outer, middle, inner = [(1, 0)] * (3 - len(over_rows)) + over_rows
    column = over_cols[0][1] if over_cols else 0
    return (outer[1], middle[1], inner[1], middle[0], inner[0], column)


def packs_fit(dtype: str, *operands: tuple[Array, int]) -> bool:
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
