"""Work memory of the attention kernels, used again by the next call.

Fresh memory costs a page fault every 4 KiB, which came to a tenth of a forward pass. One block of
modest size is kept between calls; bigger ones go back to the system.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

__all__ = ["Arena", "address", "aligned", "scratch"]

KEPT = 64 << 20  # bytes
LINE_BYTES = 64

Array = np.ndarray[Any, Any]


def address(array: Array) -> int:
    """Where the first element lies; cheaper than .ctypes.data."""
    return int(array.__array_interface__["data"][0])


def aligned(count: int, dtype: Any) -> Array:
    """Uninitialised memory that begins at a cache line: vectors that straddle lines load at half
    speed."""
    size = count * np.dtype(dtype).itemsize
    raw = np.empty(size + LINE_BYTES, np.uint8)
    skip = -address(raw) % LINE_BYTES
    return raw[skip : skip + size].view(dtype)


_spare: list[Array] = []


class Arena:
    """The memory of one call: pieces of a kept block while it lasts, fresh ones after that."""

    def __init__(self) -> None:
        try:
            self.block = _spare.pop()
        except IndexError:
            self.block = aligned(0, np.uint8)
        self.used = 0
        self.extra: list[Array] = []

    def take(self, count: int, dtype: Any) -> Array:
        """Uninitialised memory that lasts until `release`."""
        size = -(-max(count, 1) * np.dtype(dtype).itemsize // LINE_BYTES) * LINE_BYTES
        begin, self.used = self.used, self.used + size
        if self.used <= self.block.size:
            piece = self.block[begin : self.used]
        else:
            piece = aligned(size, np.uint8)
            self.extra.append(piece)
        return piece.view(dtype)[:count]

    def release(self) -> None:
        """Keep the block for the next call, as large as this one would have liked it."""
        self.extra.clear()
        if self.block.size < self.used <= KEPT:
            self.block = aligned(self.used, np.uint8)
        if self.block.size and not _spare:
            _spare.append(self.block)


class _Local(threading.local):
    buffer = aligned(0, np.uint8)


_local = _Local()


def scratch(count: int, dtype: Any) -> Array:
    """Uninitialised memory of this thread, good until its next call of this function."""
    size = count * np.dtype(dtype).itemsize
    if _local.buffer.size < size:
        buffer = aligned(size, np.uint8)
        if size > KEPT:
            return buffer.view(dtype)
        _local.buffer = buffer
    return _local.buffer[:size].view(dtype)
