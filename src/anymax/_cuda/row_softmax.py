"""Softmax, log-softmax and logsumexp of rows on a GPU: launch code for ``row_softmax.cu``.

Shapes, masks and outputs follow the primitives of the same names. Inputs are detached arrays of
float16, bfloat16, float32 or float64 on one device; see ``rows`` for which layouts are copied.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

from . import arrays
from .arrays import Array
from .launch import Launcher, default
from .rows import (
    LONGEST_WARP_ROW,
    MASK_SIGNATURE,
    Geometry,
    RowKernels,
    as_rows,
    grid,
    mask_arguments,
    packs_fit,
)
from .source import FOLDER

Kind = Literal["softmax", "log_softmax", "logsumexp"]

_FORMS = {"softmax": 0, "log_softmax": 1, "logsumexp": 2}
_SOURCE = FOLDER / "row_softmax.cu"
_SHAPE = "long long rows, long long cols, WIDE scale"

FORWARD = RowKernels(
    "softmax_forward", _SOURCE,
    f"const T* x, long long x_stride, {MASK_SIGNATURE}, T* y, {_SHAPE}, int form",
).register()  # fmt: skip
BACKWARD = RowKernels(
    "softmax_backward", _SOURCE, f"const T* saved, const T* cotangent, T* dx, {_SHAPE}, int form"
).register()
LSE_BACKWARD = RowKernels(
    "logsumexp_backward", _SOURCE,
    f"const T* x, long long x_stride, {MASK_SIGNATURE}, const T* cotangent, T* dx, {_SHAPE}",
).register()  # fmt: skip


def forward(
    x: Array,
    where: Array | None,
    /,
    *,
    axis: int | Sequence[int],
    scale: float,
    kind: Kind = "softmax",
    launcher: Launcher | None = None,
) -> Array:
    """Return weights, log-weights or (with the axis removed) the logsumexp of ``scale * x``.

    Parameters
    ----------
    x : array (...)
        Logits.
    where : array of bool or None
        Broadcasts to `x`; False leaves a logit out.
    axis : int or tuple of ints
        Not negative, ascending.
    scale : float
        Any sign.
    kind : {"softmax", "log_softmax", "logsumexp"}
        Which of the three.
    launcher : Launcher, optional
        Default: the launcher for real devices.
    """
    axes, dtype = _axes(axis), arrays.dtype_name(x)
    source, rows = as_rows(x, axes)
    out = arrays.empty(rows.batch if kind == "logsumexp" else rows.batch + rows.last, dtype, x)
    if rows.rows:
        packs = kind == "logsumexp" or packs_fit(dtype, (source, rows.stride), (out, rows.cols))
        spec = FORWARD.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=packs)
        args = (
            source, rows.stride, *mask_arguments(where, x.shape, axes), out, rows.rows, rows.cols,
            scale, _FORMS[kind],
        )  # fmt: skip
        (launcher or default()).launch(spec, grid(spec, rows.rows), (spec.block,), 0, args)
    if kind == "logsumexp" or rows.undo is None:
        return out
    return arrays.permute(out, rows.undo)


def backward(
    operands: tuple,
    outputs: tuple,
    cotangents: tuple,
    needs: tuple[bool, ...],
    /,
    *,
    axis: int | Sequence[int],
    scale: float,
    kind: Kind = "softmax",
    launcher: Launcher | None = None,
) -> tuple:
    """Return the gradient of `x` (None where not needed or without a cotangent) and None."""
    (x, where), (cotangent,) = operands, cotangents
    if not needs[0] or cotangent is None:
        return None, None
    if kind == "logsumexp":
        spec, rows, out, args = _logsumexp_backward(x, where, cotangent, _axes(axis))
        args = (*args, scale)
    else:
        spec, rows, out, args = _softmax_backward(outputs[0], cotangent, _axes(axis))
        args = (*args, scale, _FORMS[kind])
    if rows.rows and rows.cols:
        (launcher or default()).launch(spec, grid(spec, rows.rows), (spec.block,), 0, args)
    return (out if rows.undo is None else arrays.permute(out, rows.undo)), None


def _softmax_backward(saved: Array, cotangent: Array, axes: tuple[int, ...]) -> tuple:
    dtype = arrays.dtype_name(saved)
    weights, rows = _contiguous_rows(saved, axes)
    up, _ = _contiguous_rows(arrays.cast(cotangent, dtype), axes)
    out = arrays.empty(rows.batch + rows.last, dtype, saved)
    packs = packs_fit(dtype, (weights, rows.cols), (up, rows.cols), (out, rows.cols))
    spec = BACKWARD.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=packs)
    return spec, rows, out, (weights, up, out, rows.rows, rows.cols)


def _contiguous_rows(x: Array, axes: tuple[int, ...]) -> tuple[Array, Geometry]:
    found, rows = as_rows(x, axes)
    if rows.stride == rows.cols or rows.rows == 1:
        return found, rows
    return arrays.contiguous(arrays.permute(x, rows.permutation)), rows


def _logsumexp_backward(
    x: Array, where: Array | None, cotangent: Array, axes: tuple[int, ...]
) -> tuple:
    dtype = arrays.dtype_name(x)
    source, rows = as_rows(x, axes)
    up = arrays.contiguous(arrays.cast(cotangent, dtype))
    out = arrays.empty(rows.batch + rows.last, dtype, x)
    packs = packs_fit(dtype, (source, rows.stride), (out, rows.cols))
    spec = LSE_BACKWARD.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=packs)
    mask = mask_arguments(where, x.shape, axes)
    return spec, rows, out, (source, rows.stride, *mask, up, out, rows.rows, rows.cols)


def _axes(axis: int | Sequence[int]) -> tuple[int, ...]:
    return (axis,) if isinstance(axis, int) else tuple(axis)


softmax = functools.partial(forward, kind="softmax")
softmax_backward = functools.partial(backward, kind="softmax")
log_softmax = functools.partial(forward, kind="log_softmax")
log_softmax_backward = functools.partial(backward, kind="log_softmax")
logsumexp = functools.partial(forward, kind="logsumexp")
logsumexp_backward = functools.partial(backward, kind="logsumexp")
