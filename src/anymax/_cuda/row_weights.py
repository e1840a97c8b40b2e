"""Weights s(x) / sum s(x) of rows on a GPU, and their logarithms: ``row_weights.cu``.

Shapes, masks, sinks and outputs follow the primitives row_weights and row_log_weights. Inputs are
detached arrays of float16, bfloat16, float32 or float64 on one device.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from anymax.primitives._weights import taylor_roots

from . import arrays
from .arrays import Array
from .launch import Launcher, default
from .rows import (
    C_TYPES,
    LONGEST_WARP_ROW,
    MASK_SIGNATURE,
    Geometry,
    RowKernels,
    as_rows,
    grid,
    mask_arguments,
    wide_dtype,
)
from .source import FOLDER
from .spec import register

_KINDS = ("exp", "sigsoft", "scalable", "power", "spherical", "taylor", "stable")
_SOURCE = FOLDER / "row_weights.cu"
_X = f"const T* x, long long x_stride, {MASK_SIGNATURE}, const WIDE* sinks"
_VALUES = "WIDE a, WIDE b, WIDE c, WIDE d, WIDE e, WIDE f"
_OPTIONS = f"long long rows, long long cols, {_VALUES}, int kind, int logs"

FORWARD = RowKernels("weights_forward", _SOURCE, f"{_X}, T* y, {_OPTIONS}")
BACKWARD = RowKernels(
    "weights_backward", _SOURCE, f"{_X}, const T* cotangent, T* dx, WIDE* dsinks, {_OPTIONS}"
)
# One cell a thread at a time: packs would multiply the code of seven weight functions.
for _kernels in (FORWARD, BACKWARD):
    for _dtype in C_TYPES:
        for _warp in (True, False):
            register(_kernels.spec(_dtype, warp=_warp, packs=False))


def forward(
    x: Array,
    where: Array | None,
    sink: Array | None,
    /,
    *,
    axis: int | Sequence[int],
    kind: str,
    value: Sequence[float],
    logs: bool = False,
    launcher: Launcher | None = None,
) -> Array:
    """Return the weights, or their logarithms; see the primitives.

    Parameters
    ----------
    x : array (...)
        Logits.
    where : array of bool or None
        Broadcasts to `x`; False leaves a cell out.
    sink : array or None
        As many axes as `x`, size 1 along `axis`: the logit of one more term, for ``kind="exp"``.
    axis : int or tuple of ints
        Not negative, ascending.
    kind : str
        Which weight function.
    value : tuple of floats
        Its parameters; Taylor polynomials of order 2, 4 and 6.
    logs : bool
        Logarithms instead of weights.
    launcher : Launcher, optional
        Default: the launcher for real devices.
    """
    axes, dtype = _axes(axis), arrays.dtype_name(x)
    source, rows = as_rows(x, axes)
    out = arrays.empty(rows.batch + rows.last, dtype, x)
    if rows.rows and rows.cols:
        spec = FORWARD.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=False)
        args = (
            source, rows.stride, *mask_arguments(where, x.shape, axes), _of_rows(sink, x, axes),
            out, rows.rows, rows.cols, *_numbers(kind, tuple(value)), _KINDS.index(kind), int(logs),
        )  # fmt: skip
        (launcher or default()).launch(spec, grid(spec, rows.rows), (spec.block,), 0, args)
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
    value: Sequence[float],
    logs: bool = False,
    launcher: Launcher | None = None,
) -> tuple:
    """Return the gradients of `x` and the sink, None where not needed or without a cotangent."""
    (x, where, sink), (cotangent,) = operands, cotangents
    wanted = needs[0], needs[2] and sink is not None
    if cotangent is None or not any(wanted):
        return None, None, None
    axes, dtype = _axes(axis), arrays.dtype_name(x)
    source, rows = as_rows(x, axes)
    up = arrays.contiguous(arrays.permute(arrays.cast(cotangent, dtype), rows.permutation))
    out = arrays.empty(rows.batch + rows.last, dtype, x)
    sunk = arrays.empty(rows.batch, wide_dtype(dtype), x) if wanted[1] else None
    if rows.rows and rows.cols:
        spec = BACKWARD.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=False)
        args = (
            source, rows.stride, *mask_arguments(where, x.shape, axes), _of_rows(sink, x, axes),
            up, out, sunk, rows.rows, rows.cols, *_numbers(kind, tuple(value)), _KINDS.index(kind),
            int(logs),
        )  # fmt: skip
        (launcher or default()).launch(spec, grid(spec, rows.rows), (spec.block,), 0, args)
    dx = out if rows.undo is None else arrays.permute(out, rows.undo)
    return dx if wanted[0] else None, None, _of_sink(sunk, sink, rows) if wanted[1] else None


@functools.lru_cache(256)
def _numbers(kind: str, value: tuple[float, ...]) -> tuple[float, ...]:
    """Six numbers: the parameters of a weight function, and zeros."""
    if kind == "taylor":
        value = tuple(part for root in taylor_roots(int(value[0])) for part in root)
    return (*map(float, value), *(0.0,) * (6 - len(value)))


def _of_rows(sink: Array | None, x: Array, axes: tuple[int, ...]) -> Array | None:
    """One sink a row, in the order of the rows."""
    if sink is None:
        return None
    full = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    sink = arrays.cast(sink, wide_dtype(arrays.dtype_name(x)))
    order = (*(a for a in range(x.ndim) if a not in axes), *axes)
    return arrays.contiguous(arrays.permute(arrays.broadcast_to(sink, full), order))


def _of_sink(sunk: Array, sink: Array, rows: Geometry) -> Array:
    """Sum what the rows say over those that share a sink."""
    kept = rows.permutation[: len(rows.batch)]
    summed = tuple(i for i, a in enumerate(kept) if sink.shape[a] == 1 and rows.batch[i] != 1)
    if not rows.cols:
        sunk[...] = 0
    if summed:
        sunk = sunk.sum(summed)
    return arrays.cast(sunk.reshape(tuple(sink.shape)), arrays.dtype_name(sink))


def _axes(axis: int | Sequence[int]) -> tuple[int, ...]:
    return (axis,) if isinstance(axis, int) else tuple(axis)


weights = functools.partial(forward, logs=False)
weights_backward = functools.partial(backward, logs=False)
log_weights = functools.partial(forward, logs=True)
log_weights_backward = functools.partial(backward, logs=True)
