"""NumPy views of what callers hold, and results in their own library; rows out of any axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "as_floats",
    "borrow",
    "empty",
    "fill",
    "flat_room",
    "is_index",
    "kept_rows",
    "put_rows",
    "room_for_rows",
    "rows",
    "take_rows",
]

_PLAIN = frozenset(map(np.dtype, ("float32", "float64", "int64", "bool")))
_EVERY = np.ones((1, 1), np.uint8)
_EVERY.flags.writeable = False


def borrow(x: Any) -> np.ndarray[Any, Any]:
    """The same memory as a NumPy array: of a NumPy array or a CPU torch tensor, bfloat16 as
    uint16."""
    if isinstance(x, np.generic):
        x = np.asarray(x)
    if isinstance(x, np.ndarray):
        if x.dtype in _PLAIN:
            return x
        if x.dtype.name == "bfloat16":
            return x.view(np.uint16)
        return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
    import torch

    if x.dtype is torch.bfloat16:
        return x.view(torch.int16).numpy().view(np.uint16)
    return x.resolve_neg().numpy()


def empty(shape: Sequence[int], dtype: Any, like: Any) -> Any:
    """An unwritten C-contiguous array of the library of `like`; dtype None takes that of `like`."""
    if isinstance(like, (np.ndarray, np.generic)):
        native = like.dtype if like.dtype.isnative else like.dtype.newbyteorder("=")
        return np.empty(shape, native if dtype is None else dtype)
    import torch

    return torch.empty(tuple(shape), dtype=like.dtype if dtype is None else dtype)


def real_dtype(like: Any, dtype: np.dtype[Any]) -> Any:
    """float32 or float64 in the words of the library of `like`."""
    if isinstance(like, (np.ndarray, np.generic)):
        return dtype
    import torch

    return torch.float64 if dtype.itemsize == 8 else torch.float32


def _axes(axis: int | tuple[int, ...]) -> tuple[int, ...]:
    return (axis,) if isinstance(axis, int) else axis


def _last(x: np.ndarray[Any, Any], axis: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """View with the given axes last, in their order."""
    others = [i for i in range(x.ndim) if i not in axis]
    return x.transpose([*others, *axis])


def rows(shape: Sequence[int], axis: int | tuple[int, ...]) -> tuple[int, int]:
    """Number and length of the rows along these axes."""
    length = math.prod(shape[i] for i in _axes(axis))
    return math.prod(n for i, n in enumerate(shape) if i not in _axes(axis)), length


def take_rows(x: np.ndarray[Any, Any], axis: int | tuple[int, ...]) -> np.ndarray[Any, Any]:
    """(rows, length), C-contiguous: a view where the layout allows it."""
    if x.dtype == np.float16:
        x = x.view(np.int16)  # what kernels take for half precision
    if x.flags.c_contiguous and x.ndim and _axes(axis) == (x.ndim - 1,):
        return x if x.ndim == 2 else x.reshape(rows(x.shape, axis))
    return np.ascontiguousarray(_last(x, _axes(axis))).reshape(rows(x.shape, axis))


def room_for_rows(out: np.ndarray[Any, Any], axis: int | tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Unwritten (rows, length): a view of `out` where rows lie in it as they are, else new
    memory."""
    if out.dtype == np.float16:
        out = out.view(np.int16)
    if out.ndim == 2 and _axes(axis) == (1,) and out.flags.c_contiguous:
        return out
    moved = _last(out, _axes(axis))
    shape = rows(out.shape, axis)
    return moved.reshape(shape) if moved.flags.c_contiguous else np.empty(shape, out.dtype)


def put_rows(values: np.ndarray[Any, Any], out: np.ndarray[Any, Any], axis: Any) -> None:
    """Bring rows from the room made for them to the axes they belong to."""
    if out.dtype == np.float16:
        out = out.view(np.int16)
    if _axes(axis) == (out.ndim - 1,):
        return
    moved = _last(out, _axes(axis))
    if not moved.flags.c_contiguous:
        moved[...] = values.reshape(moved.shape)


def kept_rows(where: Any, shape: Sequence[int], axis: int | tuple[int, ...]) -> Any:
    """Mask as uint8 of shape (1 or rows, 1 or length): a mask constant along either stays small."""
    if where is None:
        return _EVERY
    axes = _axes(axis)
    mask = borrow(where)
    if mask.shape == tuple(shape) and len(shape) == 2 and mask.flags.c_contiguous and axes == (1,):
        return mask.view(np.uint8)
    mask = _last(np.broadcast_to(mask, shape), axes)
    split = mask.ndim - len(axes)
    still = [step == 0 or n == 1 for n, step in zip(mask.shape, mask.strides, strict=True)]
    if all(still[:split]):
        mask = mask[(slice(0, 1),) * split]
    if all(still[split:]):
        mask = mask[(slice(None),) * split + (slice(0, 1),) * (mask.ndim - split)]
    count, length = math.prod(mask.shape[:split]), math.prod(mask.shape[split:])
    return np.ascontiguousarray(mask).reshape(count, length).view(np.uint8)


def is_index(x: Any) -> bool:
    """Whether an array holds integers."""
    if isinstance(x, (np.ndarray, np.generic)):
        return x.dtype.kind in "iu"
    return not x.is_floating_point()


def as_floats(x: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """C-contiguous float32 or float64 from floats of any width."""
    values = borrow(x)
    if values.dtype == dtype and values.flags.c_contiguous:
        return values
    if values.dtype == np.uint16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(values, dtype).reshape(values.shape)  # it makes 0-d arrays 1-d


def flat_room(out: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """All cells of a fresh array in one row, as kernels write them."""
    return (out.view(np.int16) if out.dtype == np.float16 else out).reshape(-1)


def fill(out: Any, value: float) -> None:
    """Set every cell of a NumPy array or torch tensor."""
    out[...] = value
