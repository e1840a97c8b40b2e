"""Cross entropy of rows of logits on a GPU: launch code for ``row_cross_entropy.cu``.

Operands, options and outputs follow the primitive ``row_cross_entropy``; loss and lse come in the
dtype that the kernel computes in (float32 for half types). Only the gradient of the logits exists.
"""

from __future__ import annotations

import math
from typing import Any

from . import arrays
from .arrays import Array
from .launch import Launcher, default
from .rows import (
    LONGEST_WARP_ROW,
    MASK_SIGNATURE,
    RowKernels,
    as_rows,
    grid,
    mask_arguments,
    packs_fit,
    wide_dtype,
)
from .source import FOLDER

KERNEL = RowKernels(
    "cross_entropy",
    FOLDER / "row_cross_entropy.cu",
    f"const T* x, long long x_stride, {MASK_SIGNATURE}, const long long* labels, "
    "const T* probabilities, const WIDE* weight, const WIDE* row_scale, "
    "const WIDE* loss_cotangent, const WIDE* lse_cotangent, WIDE* loss, WIDE* lse, T* dx, "
    "long long rows, long long cols, WIDE constant_cotangent, WIDE smoothing, "
    "WIDE lse_square_scale, WIDE softcap",
).register()


def forward(
    x: Array,
    target: Array,
    where: Array | None,
    weight: Array | None,
    row_scale: Array | None,
    /,
    *,
    launcher: Launcher | None = None,
    **options: Any,
) -> tuple[Array, Array]:
    """Return (loss, lse) per row.

    Parameters
    ----------
    x : array (..., C)
        Logits.
    target : array of ints (...) or of x's dtype (..., C)
        Classes or distributions.
    where : array of bool or None
        Broadcasts to `x`.
    weight : array (C,) or None
        Class weights.
    row_scale : array (...) or None
        Factor of each row's loss; a row with 0 costs nothing, whatever it holds.
    launcher : Launcher, optional
        Default: the launcher for real devices.
    **options
        label_smoothing, lse_square_scale, softcap.
    """
    outputs = _outputs(x)
    _run(x, (target, where, weight, row_scale), options, launcher, outputs=outputs)
    return outputs


def backward(
    operands: tuple,
    outputs: tuple,
    cotangents: tuple,
    needs: tuple[bool, ...],
    /,
    *,
    launcher: Launcher | None = None,
    **options: Any,
) -> tuple:
    """Return the gradient of the logits and None for the other operands.

    The normaliser is summed again: exp(x - lse) would magnify the rounding of the saved one.
    """
    if any(needs[1:]):
        raise NotImplementedError("row_cross_entropy on CUDA has gradients of the logits only")
    x, *others = operands
    if not needs[0] or all(cotangent is None for cotangent in cotangents):
        return (None,) * 5
    dx = arrays.empty(x.shape, arrays.dtype_name(x), x)
    _run(x, tuple(others), options, launcher, cotangents=cotangents, dx=dx)
    return (dx, None, None, None, None)


def forward_backward(
    operands: tuple,
    cotangent: float,
    /,
    *,
    launcher: Launcher | None = None,
    **options: Any,
) -> tuple[tuple[Array, Array], Array]:
    """Return ((loss, lse), dx) in one launch; every loss has the same `cotangent`."""
    x, *others = operands
    outputs, dx = _outputs(x), arrays.empty(x.shape, arrays.dtype_name(x), x)
    _run(x, tuple(others), options, launcher, outputs=outputs, dx=dx, cotangent=cotangent)
    return outputs, dx


def _outputs(x: Array) -> tuple[Array, Array]:
    dtype, shape = wide_dtype(arrays.dtype_name(x)), x.shape[:-1]
    return arrays.empty(shape, dtype, x), arrays.empty(shape, dtype, x)


def _run(
    x: Array,
    others: tuple,
    options: dict[str, Any],
    launcher: Launcher | None,
    *,
    outputs: tuple = (None, None),
    cotangents: tuple = (None, None),
    dx: Array | None = None,
    cotangent: float = 0.0,
) -> None:
    """Launch the one kernel; what it does follows from which outputs it is given."""
    target, where, weight, row_scale = others
    axes, dtype = (x.ndim - 1,), arrays.dtype_name(x)
    source, rows = as_rows(x, axes)
    if rows.rows == 0:
        return
    packs = dx is None or packs_fit(dtype, (source, rows.stride), (dx, rows.cols))
    spec = KERNEL.spec(dtype, warp=rows.cols <= LONGEST_WARP_ROW, packs=packs)
    numbers = (
        cotangent,
        options.get("label_smoothing", 0.0),
        options.get("lse_square_scale", 0.0),
        options.get("softcap") or 0.0,
    )
    args = (
        source, rows.stride, *mask_arguments(where, x.shape, axes),
        *_targets(target, x), *_wide(x, weight, row_scale, *cotangents), *outputs, dx,
        rows.rows, rows.cols, *numbers,
    )  # fmt: skip
    (launcher or default()).launch(spec, grid(spec, rows.rows), (spec.block,), 0, args)


def _targets(target: Array, x: Array) -> tuple[Array | None, Array | None]:
    """Class numbers or distributions: one of the two."""
    if "int" in arrays.dtype_name(target):
        return arrays.contiguous(arrays.cast(target, "int64")), None
    if math.prod(target.shape) != math.prod(x.shape):
        target = arrays.broadcast_to(target, x.shape)
    return None, arrays.contiguous(arrays.cast(target, arrays.dtype_name(x)))


def _wide(x: Array, *operands: Array | None) -> list[Array | None]:
    dtype = wide_dtype(arrays.dtype_name(x))
    return [None if a is None else arrays.contiguous(arrays.cast(a, dtype)) for a in operands]
