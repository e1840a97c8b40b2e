"""Functions recorded as a few others: they only combine steps that have rules of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["COMPOSITES"]


def _unstack(xp: Any, x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    before = (slice(None),) * (axis % len(x.shape))
    return tuple(x[(*before, i, ...)] for i in range(x.shape[axis]))


def _broadcast_arrays(xp: Any, /, *arrays: Any) -> tuple[Any, ...]:
    shape = xp.broadcast_shapes(*(a.shape for a in arrays))
    return tuple(xp.broadcast_to(a, shape) for a in arrays)


def _meshgrid(xp: Any, /, *arrays: Any, indexing: str = "xy") -> tuple[Any, ...]:
    places = list(range(len(arrays)))
    if indexing == "xy" and len(arrays) > 1:
        places[:2] = [1, 0]
    lines = [
        xp.reshape(a, tuple(-1 if i == place else 1 for i in range(len(arrays))))
        for a, place in zip(arrays, places, strict=True)
    ]
    return _broadcast_arrays(xp, *lines)


def _diff(
    xp: Any, x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> Any:
    parts = [part for part in (prepend, x, append) if part is not None]
    x = xp.concat(parts, axis=axis) if len(parts) > 1 else x
    before = (slice(None),) * (axis % len(x.shape))
    for _ in range(n):
        x = x[(*before, slice(1, None), ...)] - x[(*before, slice(None, -1), ...)]
    return x


COMPOSITES: dict[str, Callable[..., Any]] = {
    "unstack": _unstack,
    "broadcast_arrays": _broadcast_arrays,
    "meshgrid": _meshgrid,
    "diff": _diff,
}
