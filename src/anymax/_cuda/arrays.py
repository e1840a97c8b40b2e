"""The few facts and operations that launch code needs from an array, for NumPy, CuPy and torch.

NumPy arrays and CPU tensors never reach a device: they are here because the tests run the same
launch code, and the same kernels, on the CPU.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Sequence
from typing import Any

Array = Any


def is_torch(x: Array) -> bool:
    """Whether `x` is a torch tensor; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def namespace(x: Array) -> Any:
    """Return numpy, cupy or torch, whichever made `x`."""
    return sys.modules["torch" if is_torch(x) else type(x).__module__.partition(".")[0]]


def dtype_name(x: Array) -> str:
    """Return ``"float32"`` and the like, the same word for every library."""
    return _name(x.dtype)


@functools.cache
def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def address(x: Array) -> int:
    """Address of the first element."""
    if is_torch(x):
        return int(x.data_ptr())
    return int(x.ctypes.data) if hasattr(x, "ctypes") else int(x.data.ptr)


def strides(x: Array) -> tuple[int, ...]:
    """Distance between neighbours along each axis, in elements."""
    if is_torch(x):
        return x.stride()
    item = x.dtype.itemsize
    return tuple([step // item for step in x.strides])


def empty(shape: Sequence[int], dtype: str, like: Array) -> Array:
    """Fresh memory from the allocator of `like`'s library, on its device."""
    shape = tuple(shape)
    if is_torch(like):
        torch = sys.modules["torch"]
        return torch.empty(shape, dtype=getattr(torch, dtype), device=like.device)
    kind = like.dtype if dtype == dtype_name(like) else dtype
    with _device(like):
        return namespace(like).empty(shape, dtype=kind)


def contiguous(x: Array) -> Array:
    """`x` itself where it is C-contiguous, else a copy that is."""
    if is_torch(x):
        return x.contiguous()
    if x.flags.c_contiguous:
        return x
    with _device(x):
        return namespace(x).ascontiguousarray(x)


def cast(x: Array, dtype: str) -> Array:
    """`x` in another dtype; `x` itself where it has that one."""
    if dtype_name(x) == dtype:
        return x
    if is_torch(x):
        return x.to(getattr(sys.modules["torch"], dtype))
    with _device(x):
        return x.astype(dtype)


def permute(x: Array, axes: Sequence[int]) -> Array:
    """View with the axes in the given order."""
    return x.permute(tuple(axes)) if is_torch(x) else x.transpose(tuple(axes))


def broadcast_to(x: Array, shape: Sequence[int]) -> Array:
    """View of the given shape, with stride 0 along the new axes."""
    return namespace(x).broadcast_to(x, tuple(shape))


def _device(x: Array) -> contextlib.AbstractContextManager[Any]:
    """Make the device of a CuPy array current: new CuPy arrays go to the current device."""
    return contextlib.nullcontext() if hasattr(x, "ctypes") else x.device
