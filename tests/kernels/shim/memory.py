"""Copies of a launch's arrays in one arena, far apart, with canaries in between."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

GAP = 64 * 1024  # bytes around every array; a stray write that stays within is noticed
CANARY = 0xA5


@dataclass(frozen=True)
class Placed:
    """One array in the arena: the bytes it spans, and where its first element is."""

    name: str
    low: int
    size: int
    address: int
    original: np.ndarray
    copy: np.ndarray


class Arena:
    """Holds a copy of every array of one launch, at the same address modulo 256 bytes.

    Strided and broadcast arrays keep their strides: the whole span of bytes is copied.
    """

    def __init__(self, arrays: Sequence[tuple[str, np.ndarray]]) -> None:
        spans = [np.lib.array_utils.byte_bounds(a) for _, a in arrays]
        total = sum(high - low + GAP + 512 for low, high in spans) + GAP
        self.bytes = np.full(total, CANARY, np.uint8)
        self.base = int(self.bytes.ctypes.data)
        self.placed: list[Placed] = []
        position = GAP
        for (name, array), (low, high) in zip(arrays, spans, strict=True):
            position += (low - self.base - position) % 256
            self.placed.append(self._place(name, array, position, low, high - low))
            position += high - low + GAP

    def _place(self, name: str, array: np.ndarray, at: int, low: int, size: int) -> Placed:
        offset = int(array.ctypes.data) - low
        copy = np.ndarray(array.shape, array.dtype, self.bytes.data, at + offset, array.strides)
        if array.size:
            copy.view(f"u{array.itemsize}")[...] = array.view(f"u{array.itemsize}")
        return Placed(name, self.base + at, size, self.base + at + offset, array, copy)

    def write_back(self, names: Sequence[str]) -> None:
        """Copy the named arrays to where they came from."""
        for item in self.placed:
            if item.name in names and item.copy.size:
                bits = f"u{item.copy.itemsize}"
                item.original.view(bits)[...] = item.copy.view(bits)

    def damaged(self) -> list[str]:
        """Describe every gap in which a canary died."""
        found, start = [], 0
        ends = [(p.low - self.base, p.size, p.name) for p in self.placed]
        names = ["the first argument", *(name for _, _, name in ends)]
        for i, (low, size, _) in enumerate([*ends, (len(self.bytes), 0, "")]):
            dead = np.flatnonzero(self.bytes[start:low] != CANARY)
            if dead.size:
                found.append(f"{dead.size} bytes overwritten, {dead[0]} bytes after {names[i]}")
            start = low + size
        return found


def as_numpy(value: Any) -> np.ndarray:
    """View an array or a CPU tensor as a NumPy array that shares its memory."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if value.dtype == torch.bfloat16:
            value = value.view(torch.int16)
        return value.detach().numpy()
    return value
