"""What the machine can do at all: bytes copied and products summed a second, measured now."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

COPIED = 1 << 27  # bytes of a copy: far beyond the caches
SIDE = 1536  # of the square matrices


@dataclass(frozen=True, slots=True)
class Floors:
    """Bytes read or written a second by a copy on all cores; float32 FLOP a second by a matmul."""

    bandwidth: float
    flops: float

    def seconds(self, moved: float, flops: float) -> float:
        """The least time for so much work."""
        return max(moved / self.bandwidth, flops / self.flops)


@functools.cache
def measure(device: str) -> Floors:
    if device == "cuda":
        return _on_cuda()
    return Floors(2 * COPIED / _best(_copy()), 2 * SIDE**3 / _best(_matmul()))


def _best(f: Callable[[], Any], rounds: int = 9) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


def _copy() -> Callable[[], Any]:
    source, target = np.ones(COPIED // 4, np.float32), np.zeros(COPIED // 4, np.float32)
    workers = os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    parts = list(zip(np.array_split(target, workers), np.array_split(source, workers)))
    return lambda: list(pool.map(lambda part: np.copyto(*part), parts))


def _matmul() -> Callable[[], Any]:
    a = np.ones((SIDE, SIDE), np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out)


def _on_cuda() -> Floors:
    import torch

    a = torch.ones(COPIED // 4, device="cuda")
    b = torch.empty_like(a)
    m = torch.ones(4 * SIDE, 4 * SIDE, device="cuda")
    out = torch.empty_like(m)

    def timed(f: Callable[[], Any]) -> float:
        def run() -> None:
            f()
            torch.cuda.synchronize()

        return _best(run)

    copied = timed(lambda: b.copy_(a))
    return Floors(2 * COPIED / copied, 2 * (4 * SIDE) ** 3 / timed(lambda: torch.mm(m, m, out=out)))
