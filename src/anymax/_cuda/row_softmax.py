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
    RowKernels,
    as_rows,
    grid,
    inverse,
    mask_arguments,
    order,
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
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    dtype, rows = arrays.dtype_name(x), as_rows(x, axes)
    out = arrays.empty(rows.batch + (() if kind == "logsumexp" else rows.last), dtype, x)
    if rows.rows:
        packs = packs_fit(dtype, rows.cols, (rows.array, rows.stride), (out, rows.cols))
        packs = packs or kind == "logsumexp"
        spec = FORWARD.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=packs)
        mask = mask_arguments(where, x.shape, axes)
        args = (
            rows.array, rows.stride, *mask, out, rows.rows, rows.cols, float(scale), _FORMS[kind],
        )  # fmt: skip
        (launcher or default()).launch(spec, grid(spec, rows.rows), (spec.block,), 0, args)
    if kind == "logsumexp" or not x.ndim:
        return out
    return arrays.permute(out, inverse(order(x.ndim, axes)))


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
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if kind == "logsumexp":
        spec, rows, out, args = _logsumexp_backward(x, where, cotangent, axes)
        args = (*args, float(scale))
    else:
        spec, rows, out, args = _softmax_backward(outputs[0], cotangent, axes)
        args = (*args, float(scale), _FORMS[kind])
    if rows.rows and rows.cols:
        (launcher or default()).launch(spec, grid(spec, rows.rows), (spec.block,), 0, args)
    return (arrays.permute(out, inverse(order(x.ndim, axes))) if x.ndim else out), None


def _softmax_backward(saved: Array, cotangent: Array, axes: tuple[int, ...]) -> tuple:
    dtype = arrays.dtype_name(saved)
    permutation = order(saved.ndim, axes)
    rows = as_rows(saved, axes)
    weights, up = (
        arrays.contiguous(arrays.permute(a, permutation) if a.ndim else a)
        for a in (saved, arrays.cast(cotangent, dtype))
    )
    out = arrays.empty(rows.batch + rows.last, dtype, saved)
    packs = packs_fit(dtype, rows.cols, *((a, rows.cols) for a in (weights, up, out)))
    spec = BACKWARD.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=packs)
    return spec, rows, out, (weights, up, out, rows.rows, rows.cols)


def _logsumexp_backward(
    x: Array, where: Array | None, cotangent: Array, axes: tuple[int, ...]
) -> tuple:
    dtype, rows = arrays.dtype_name(x), as_rows(x, axes)
    up = arrays.contiguous(arrays.cast(cotangent, dtype))
    out = arrays.empty(rows.batch + rows.last, dtype, x)
    packs = packs_fit(dtype, rows.cols, (rows.array, rows.stride), (out, rows.cols))
    spec = LSE_BACKWARD.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=packs)
    mask = mask_arguments(where, x.shape, axes)
    return spec, rows, out, (rows.array, rows.stride, *mask, up, out, rows.rows, rows.cols)


softmax = functools.partial(forward, kind="softmax")
softmax_backward = functools.partial(backward, kind="softmax")
log_softmax = functools.partial(forward, kind="log_softmax")
log_softmax_backward = functools.partial(backward, kind="log_softmax")
logsumexp = functools.partial(forward, kind="logsumexp")
logsumexp_backward = functools.partial(backward, kind="logsumexp")
