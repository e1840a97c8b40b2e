"""What the machine can do at all: copies and products a second, measured beside each case."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

COPIED = 1 << 27  # bytes of a copy: far beyond the caches
SIDES = {"cpu": 1536, "cuda": 8192}  # of the square matrices
ROUNDS = 7


def seconds(device: str, moved: float, flops: float) -> float:
    """The least time for so many bytes read and written and so many FLOP."""
    least = 0.0
    if moved:
        least = moved / (2 * COPIED) * _best(_copy(device))
    if flops:
        least = max(least, flops / (2 * SIDES[device] ** 3) * _best(_matmul(device)))
    return least


def _best(f: Callable[[], Any]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


@functools.cache
def _copy(device: str) -> Callable[[], Any]:
    """A copy on all cores, into memory that is already there."""
    if device == "cuda":
        return _on_cuda(lambda torch, a, b: b.copy_(a), COPIED // 4, 1)
    source, target = np.ones(COPIED // 4, np.float32), np.zeros(COPIED // 4, np.float32)
    workers = os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    parts = list(zip(np.array_split(target, workers), np.array_split(source, workers)))
    return lambda: list(pool.map(lambda part: np.copyto(*part), parts))


@functools.cache
def _matmul(device: str) -> Callable[[], Any]:
    """A float32 product of square matrices."""
    n = SIDES[device]
    if device == "cuda":
        return _on_cuda(lambda torch, a, b: torch.mm(a, a, out=b), n, n)
    a = np.ones((n, n), np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out)


def _on_cuda(f: Callable, *shape: int) -> Callable[[], Any]:
    import torch

    a, b = torch.ones(shape, device="cuda"), torch.ones(shape, device="cuda")

    def run() -> None:
        f(torch, a, b)
        torch.cuda.synchronize()

    return run
