"""Paired timing: A, B, B, A, ... in one loop, so that both see the same machine."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

LEAST = 7  # rounds
SAMPLE = 5e-4  # seconds that a sample of a fast function should take


@dataclass(frozen=True, slots=True)
class Ratio:
    """Their time over ours: the median over the rounds, and its quartiles.

    `ours` and `theirs` are median seconds a call; they belong to the ratio and to no other run.
    """

    median: float
    low: float
    high: float
    rounds: int
    ours: float
    theirs: float

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, relative to the median."""
        return (self.high - self.low) / 2 / self.median


def paired(ours: Callable[[], Any], theirs: Callable[[], Any], budget: float = 1.0) -> Ratio:
    """Time two functions against one another for about `budget` seconds."""
    loops = [_loops(_warm(f, budget)) for f in (ours, theirs)]
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        a, b = _rounds((ours, theirs), loops, budget)
    finally:
        if collecting:
            gc.enable()
    ratios = [y / x for x, y in zip(a, b, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(median, low, high, len(a), statistics.median(a), statistics.median(b))


def _warm(f: Callable[[], Any], budget: float) -> float:
    """Seconds of a call after compilers, caches and allocators have settled."""
    end = time.perf_counter() + 0.2 * budget
    best = float("inf")
    for _ in range(1000):
        start = time.perf_counter()
        f()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            break
    return min(best, _sample(f, 1))


def _loops(seconds: float) -> int:
    return max(1, round(SAMPLE / max(seconds, 1e-9)))


def _rounds(sides: tuple, loops: list[int], budget: float) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + budget
    while len(times[0]) < LEAST or time.perf_counter() < end:
        first = len(times[0]) % 2  # A B, then B A: a drift of the machine cancels
        for i in (first, 1 - first):
            times[i].append(_sample(sides[i], loops[i]))
    return times


def _sample(f: Callable[[], Any], count: int) -> float:
    loop = repeat(None, count)
    start = time.perf_counter()
    for _ in loop:
        f()
    return (time.perf_counter() - start) / count
