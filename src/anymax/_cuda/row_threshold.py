"""Sparsemax, entmax, normmax, budgets and soft top-k of rows on a GPU: ``row_threshold.cu``.

Shapes, masks and outputs follow the primitive row_threshold. Inputs are detached arrays of float16,
bfloat16, float32 or float64 on one device.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import arrays
from .arrays import Array
from .launch import Launcher, default
from .rows import (
    C_TYPES,
    ITEM_BYTES,
    LONGEST_WARP_ROW,
    MASK_SIGNATURE,
    WARPS_PER_BLOCK,
    RowKernels,
    as_rows,
    grid,
    mask_arguments,
    wide_dtype,
)
from .source import FOLDER
from .spec import register

_KINDS = ("entmax", "normmax", "budget", "soft_top_k", "log_soft_top_k")
_SOURCE = FOLDER / "row_threshold.cu"
_OPTIONS = "long long rows, long long cols, WIDE value, WIDE scale, int kind"
# A block has 48 KB without asking the driver, and reductions take some; a longer row is read again
# in every step.
_MOST_SHARED = 44 * 1024

FORWARD = RowKernels(
    "threshold_forward", _SOURCE,
    f"const T* x, long long x_stride, {MASK_SIGNATURE}, const WIDE* parameters, T* y, {_OPTIONS}, "
    "int in_shared",
)  # fmt: skip
BACKWARD = RowKernels(
    "threshold_backward", _SOURCE,
    f"const T* saved, const WIDE* parameters, const T* cotangent, T* dx, {_OPTIONS}",
)  # fmt: skip
# A search visits a row often and one cell a thread at a time, so there are no packs.
for _kernels in (FORWARD, BACKWARD):
    for _dtype in C_TYPES:
        for _warp in (True, False):
            register(_kernels.spec(_dtype, warp=_warp, packs=False))


def forward(
    x: Array,
    where: Array | None,
    parameter: Array | None,
    /,
    *,
    axis: int | Sequence[int],
    kind: str,
    value: float,
    scale: float,
    launcher: Launcher | None = None,
) -> Array:
    """Return the weights; see the primitive.

    Parameters
    ----------
    x : array (...)
        Logits.
    where : array of bool or None
        Broadcasts to `x`; False leaves a cell out.
    parameter : array or None
        One parameter a row, in the shape of `x` with size 1 along `axis`; else `value`.
    axis : int or tuple of ints
        Not negative, ascending.
    kind : str
        Which map.
    value : float
        The parameter of every row.
    scale : float
        Positive; multiplies `x`.
    launcher : Launcher, optional
        Default: the launcher for real devices.
    """
    axes, dtype = _axes(axis), arrays.dtype_name(x)
    source, rows = as_rows(x, axes)
    out = arrays.empty(rows.batch + rows.last, dtype, x)
    if rows.rows and rows.cols:
        warp = rows.cols <= LONGEST_WARP_ROW
        spec = FORWARD.spec(dtype, warp=warp, packs=False)
        shared = rows.cols * ITEM_BYTES[wide_dtype(dtype)] * (WARPS_PER_BLOCK if warp else 1)
        shared = shared if shared <= _MOST_SHARED else 0
        args = (
            source, rows.stride, *mask_arguments(where, x.shape, axes),
            _of_rows(parameter, x, axes), out, rows.rows, rows.cols, float(value or 0.0), scale,
            _KINDS.index(kind), int(shared > 0),
        )  # fmt: skip
        (launcher or default()).launch(spec, grid(spec, rows.rows), (spec.block,), shared, args)
    return out if rows.undo is None else arrays.permute(out, rows.undo)


def backward(
    operands: tuple,
    outputs: tuple,
    cotangents: tuple,
    needs: tuple[bool, ...],
    /,
    *,
    axis: int | Sequence[int],
    kind: str,
    value: float,
    scale: float,
    launcher: Launcher | None = None,
) -> tuple:
    """Return the gradient of `x` (None where not needed or without a cotangent), None and None."""
    (x, _, parameter), (saved,), (cotangent,) = operands, outputs, cotangents
    if not needs[0] or cotangent is None:
        return None, None, None
    axes, dtype = _axes(axis), arrays.dtype_name(saved)
    _, rows = as_rows(saved, axes)
    weights, up = (
        arrays.contiguous(arrays.permute(part, rows.permutation))
        for part in (saved, arrays.cast(cotangent, dtype))
    )
    out = arrays.empty(rows.batch + rows.last, dtype, saved)
    if rows.rows and rows.cols:
        spec = BACKWARD.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=False)
        args = (
            weights, _of_rows(parameter, x, axes), up, out, rows.rows, rows.cols,
            float(value or 0.0), scale, _KINDS.index(kind),
        )  # fmt: skip
        (launcher or default()).launch(spec, grid(spec, rows.rows), (spec.block,), 0, args)
    return (out if rows.undo is None else arrays.permute(out, rows.undo)), None, None


def _of_rows(parameter: Array | None, x: Array, axes: tuple[int, ...]) -> Array | None:
    """One parameter a row, in the order of the rows."""
    if parameter is None:
        return None
    full = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    parameter = arrays.cast(parameter, wide_dtype(arrays.dtype_name(x)))
    order = (*(a for a in range(x.ndim) if a not in axes), *axes)
    return arrays.contiguous(arrays.permute(arrays.broadcast_to(parameter, full), order))


def _axes(axis: int | Sequence[int]) -> tuple[int, ...]:
    return (axis,) if isinstance(axis, int) else tuple(axis)
