"""The libraries we are compared with: whether they are here, their arrays, when they are done."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Rival:
    """A library, the arrays that it computes on, and the arrays that we do beside it."""

    module: str
    arrays: str
    ours: str
    devices: tuple[str, ...] = ("cpu", "cuda")


COMPILERS = ("g++", "clang++", "icpx")
RIVALS = {
    "SciPy": Rival("scipy", "numpy", "numpy", ("cpu",)),
    "torch": Rival("torch", "torch", "torch"),
    "torch.compile": Rival("torch", "torch", "torch"),
    "torch linear": Rival("torch", "torch", "torch"),  # torch's own fused function
    "torch chunks": Rival("torch", "torch", "torch"),  # the same, set to save memory
    "jax.jit": Rival("jax", "jax", "host"),
    "numpy": Rival("numpy", "numpy", "numpy", ("cpu",)),
    "entmax": Rival("entmax", "torch", "torch", ("cpu",)),
}


@functools.cache
def absent(rival: str, device: str) -> str | None:
    """Why a rival can't run here; None when it can."""
    facts = RIVALS[rival]
    if device not in facts.devices:
        return f"{rival} has no {device} arrays"
    if importlib.util.find_spec(facts.module) is None:
        return f"{facts.module} is not installed"
    if rival == "torch.compile" and device == "cpu" and not any(map(shutil.which, COMPILERS)):
        return "torch.compile needs a C++ compiler"
    if device == "cuda" and not _has_cuda(facts.module):
        return f"{facts.module} sees no GPU"
    return None


def _has_cuda(module: str) -> bool:
    if module == "torch":
        import torch

        return torch.cuda.is_available()
    import jax

    return any(d.platform == "gpu" for d in jax.devices())


def library_of(rival: str, *, ours: bool, device: str) -> str:
    """Which library's arrays a side computes on."""
    facts = RIVALS[rival]
    if not ours:
        return facts.arrays
    if facts.ours == "host":
        return "cupy" if device == "cuda" else "numpy"
    return facts.ours


def array(x: np.ndarray, library: str, device: str) -> Any:
    """A copy of `x` as an array of a library."""
    if library == "torch":
        import torch

        return torch.asarray(x.copy(), device=device)
    if library == "jax":
        import jax

        return jax.device_put(x)
    if library == "cupy":
        import cupy

        return cupy.asarray(x)
    return x.copy()


def waiting(function: Callable[[], Any], library: str, device: str) -> Callable[[], Any]:
    """`function`, back only when its result is really there."""
    if library == "jax":
        import jax

        return lambda: jax.block_until_ready(function())
    if device == "cpu":
        return function
    if library == "torch":
        import torch

        synchronise: Callable[[], Any] = torch.cuda.synchronize
    else:
        import cupy

        synchronise = cupy.cuda.get_current_stream().synchronize

    def run() -> Any:
        out = function()
        synchronise()
        return out

    return run
