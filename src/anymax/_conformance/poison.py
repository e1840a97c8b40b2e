"""Uninitialised memory full of NaN, so that a kernel that forgets a cell cannot pass by luck."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_NAMES = ("empty", "empty_like")


@contextlib.contextmanager
def poisoned_empties() -> Iterator[None]:
    """Inside, `empty` and `empty_like` of NumPy, torch and CuPy give NaN, or absurd integers."""
    modules = [sys.modules[m] for m in ("numpy", "torch", "cupy") if m in sys.modules]
    saved = [(m, name, getattr(m, name)) for m in modules for name in _NAMES]
    for module, name, function in saved:
        setattr(module, name, _poisoning(function))
    try:
        yield
    finally:
        for module, name, function in saved:
            setattr(module, name, function)


@functools.cache
def _poisoning(function: Callable) -> Callable:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        x = function(*args, **kwargs)
        _fill(x)
        return x

    _tell_numba(function, wrapped)
    return wrapped


def _tell_numba(function: Callable, wrapped: Callable) -> None:
    """Compiled code that names the function gets the real one, whenever it is compiled."""
    if function.__module__ != "numpy" or importlib.util.find_spec("numba") is None:
        return
    from numba.core.registry import cpu_target

    cpu_target.target_context.refresh()
    context = cpu_target.typing_context
    context.refresh()
    context.insert_global(wrapped, context.resolve_value_type(function))


def _fill(x: Any) -> None:
    if isinstance(x, np.ndarray):
        kind = x.dtype.kind
        if kind in "fc" or x.dtype.name == "bfloat16":
            x.fill(np.nan)
        elif kind in "iu":
            x.fill(np.iinfo(x.dtype).max // 3)
        return
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        if x.dtype.is_floating_point and x.device.type in ("cpu", "cuda"):
            with torch.no_grad():
                x.fill_(float("nan"))
    elif hasattr(x, "fill") and x.dtype.kind == "f":
        x.fill(float("nan"))
