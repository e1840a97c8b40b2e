"""Time anymax against a library's own function: pairs in turn, and the median of their ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import anymax as am
from anymax._cli import arrays

ROWS, CLASSES, PAIRS = 256, 4096, 21


@dataclass(frozen=True)
class Speed:
    """Time of the library's own function over anymax's; None where it has none."""

    softmax: float | None
    cross_entropy: float | None
    rivals: str


def ratio(ours: Callable[[], object], theirs: Callable[[], object], pairs: int = PAIRS) -> float:
    """Median over pairs of (time of `theirs` / time of `ours`), the order changing every pair."""
    for _ in range(3):
        ours(), theirs()
    ratios = []
    for i in range(pairs):
        if i % 2:
            b, a = _seconds(theirs), _seconds(ours)
        else:
            a, b = _seconds(ours), _seconds(theirs)
        ratios.append(b / a)
    return statistics.median(ratios)


def against(library: str) -> Speed | None:
    """How fast anymax is on a library's arrays; None where there is nothing to compare with."""
    rivals = {"numpy": _numpy, "torch": _torch, "jax": _jax, "cupy": _cupy}
    return rivals[library]() if library in rivals else None


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _logits() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, CLASSES)).astype(np.float32)


def _numpy() -> Speed | None:
    try:
        from scipy import special
    except ImportError:
        return None
    x = _logits()
    return Speed(
        ratio(lambda: am.softmax(x), lambda: special.softmax(x, axis=-1)), None, "scipy.special"
    )


def _torch() -> Speed:
    import torch
    from torch.nn import functional

    x = arrays.put("torch", _logits())
    target = torch.arange(ROWS)
    leaf = x.clone().requires_grad_()

    def gradient(loss: Callable) -> Callable:
        return lambda: torch.autograd.grad(loss(leaf, target), leaf)

    return Speed(
        ratio(lambda: am.softmax(x), lambda: functional.softmax(x, dim=-1)),
        ratio(gradient(am.cross_entropy), gradient(functional.cross_entropy)),
        "torch.nn.functional",
    )


def _jax() -> Speed:
    import jax

    x = arrays.put("jax", _logits())
    ours, theirs = jax.jit(am.softmax), jax.jit(jax.nn.softmax)
    return Speed(
        ratio(lambda: ours(x).block_until_ready(), lambda: theirs(x).block_until_ready()),
        None,
        "jax.nn",
    )


def _cupy() -> Speed:
    import cupy
    from cupyx.scipy import special

    x = arrays.put("cupy", _logits())

    def finished(softmax: Callable) -> Callable:
        def call() -> None:
            softmax(x, axis=-1)
            cupy.cuda.get_current_stream().synchronize()

        return call

    return Speed(ratio(finished(am.softmax), finished(special.softmax)), None, "cupyx.scipy")
