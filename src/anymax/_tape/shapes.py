"""Derivatives of functions that only move elements."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import array_api_compat as compat

from anymax._tape.indexing import positions, scatter
from anymax._tape.rules import axes_of, fit, rule

__all__: list[str] = []


@rule("reshape", "expand_dims", "squeeze")
def _reshape(xp: Any, out: Any, x: Any, /, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    return (lambda g: xp.reshape(g, x.shape), *(None for _ in args))


@rule("matrix_transpose")
def _matrix_transpose(xp: Any, out: Any, x: Any, /) -> tuple[Any]:
    return (lambda g: xp.matrix_transpose(g),)


@rule("permute_dims")
def _permute_dims(xp: Any, out: Any, x: Any, /, axes: Sequence[int]) -> tuple[Any, None]:
    order = [a % x.ndim for a in axes]
    return lambda g: xp.permute_dims(g, tuple(order.index(a) for a in range(x.ndim))), None


@rule("moveaxis")
def _moveaxis(xp: Any, out: Any, x: Any, source: Any, destination: Any, /) -> tuple[Any, ...]:
    return lambda g: xp.moveaxis(g, destination, source), None, None


@rule("flip")
def _flip(xp: Any, out: Any, x: Any, /, *, axis: Any = None) -> tuple[Any]:
    return (lambda g: xp.flip(g, axis=axis),)


@rule("roll")
def _roll(xp: Any, out: Any, x: Any, /, shift: Any, *, axis: Any = None) -> tuple[Any, None]:
    back = tuple(-s for s in shift) if isinstance(shift, tuple) else -shift
    return lambda g: xp.roll(g, back, axis=axis), None


@rule("broadcast_to")
def _broadcast_to(xp: Any, out: Any, x: Any, /, shape: Any) -> tuple[Any, None]:
    return lambda g: fit(xp, g, x), None


@rule("tril")
def _tril(xp: Any, out: Any, x: Any, /, *, k: int = 0) -> tuple[Any]:
    return (lambda g: xp.tril(g, k=k),)


@rule("triu")
def _triu(xp: Any, out: Any, x: Any, /, *, k: int = 0) -> tuple[Any]:
    return (lambda g: xp.triu(g, k=k),)


@rule("concat")
def _concat(xp: Any, out: Any, arrays: Any, /, *, axis: int | None = 0) -> tuple[list[Any]]:
    along = None if axis is None else axis % out.ndim
    lengths = [x.size if along is None else x.shape[along] for x in arrays]
    stops = list(itertools.accumulate(lengths))

    def piece(x: Any, length: int, stop: int) -> Any:
        def pull(g: Any) -> Any:
            part = g[(slice(None),) * (along or 0) + (slice(stop - length, stop), ...)]
            return xp.astype(xp.reshape(part, x.shape), x.dtype, copy=False)

        return pull

    return ([piece(*each) for each in zip(arrays, lengths, stops, strict=True)],)


@rule("stack")
def _stack(xp: Any, out: Any, arrays: Any, /, *, axis: int = 0) -> tuple[list[Any]]:
    before = (slice(None),) * (axis % out.ndim)

    def piece(i: int, x: Any) -> Any:
        return lambda g: xp.astype(g[(*before, i, ...)], x.dtype, copy=False)

    return ([piece(i, x) for i, x in enumerate(arrays)],)


@rule("tile")
def _tile(xp: Any, out: Any, x: Any, repetitions: Any, /) -> tuple[Any, None]:
    def pull(g: Any) -> Any:
        counts = (1,) * (g.ndim - len(repetitions)) + tuple(repetitions)
        sizes = (1,) * (g.ndim - x.ndim) + tuple(x.shape)
        split = tuple(itertools.chain.from_iterable(zip(counts, sizes, strict=True)))
        summed = xp.sum(xp.reshape(g, split), axis=tuple(range(0, 2 * g.ndim, 2)))
        return xp.reshape(summed, x.shape)

    return pull, None


@rule("repeat")
def _repeat(
    xp: Any, out: Any, x: Any, repeats: Any, /, *, axis: int | None = None
) -> tuple[Any, None]:
    def pull(g: Any) -> Any:
        if not isinstance(repeats, int):
            return scatter(xp, g, xp.repeat(positions(xp, x), repeats, axis=axis), x)
        if axis is None:
            return xp.reshape(xp.sum(xp.reshape(g, (x.size, repeats)), axis=1), x.shape)
        (along,) = axes_of(axis, x.ndim)
        split = (*x.shape[: along + 1], repeats, *x.shape[along + 1 :])
        return xp.sum(xp.reshape(g, split), axis=along + 1)

    return pull, None


@rule("to_device")
def _to_device(
    xp: Any, out: Any, x: Any, device: Any, /, *, stream: Any = None
) -> tuple[Any, None]:
    return lambda g: compat.to_device(g, compat.device(x)), None
