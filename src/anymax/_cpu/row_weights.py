"""Weights s(x) / sum s(x) along rows, their logarithms, and gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from anymax._cpu.arrays import (
    as_floats,
    borrow,
    empty,
    kept_rows,
    put_rows,
    room_for_rows,
    take_rows,
)
from anymax._cpu.blocks import each_block, each_chunk, is_long
from anymax._cpu.row_softmax_backward import zeros
from anymax._cpu.weight_kernels import KERNELS
from anymax._cpu.weight_rows import FINISH, PEAK, TOTAL, WHOLE
from anymax.primitives._weights import taylor_roots

__all__ = ["log_weights", "log_weights_backward", "weights", "weights_backward"]

_NONE = np.empty(0)


@functools.lru_cache(256)
def _pieces(kind: str, value: tuple[float, ...], logs: bool) -> tuple[str, Any]:
    """Which kernels run, and the parameters they read."""
    if kind == "taylor":
        roots = taylor_roots(int(value[0]))
        return "taylor2" if len(roots) == 1 else "taylor", np.array(roots).reshape(-1)
    if kind == "power" and value[0] == 1.0 and not logs:
        return "linear", np.array(value)
    return kind, np.array(value, np.float64)


def _sink_rows(sink: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """The sink of every row, in float64; nothing if there are none."""
    if sink is None:
        return _NONE
    rows = [1 if i in axis else n for i, n in enumerate(shape)]
    return np.ascontiguousarray(np.broadcast_to(as_floats(sink, np.float64), rows)).reshape(-1)


def _tails(t: Any, top: Any) -> Any:
    """exp(sink) next to rows scaled by exp(-top)."""
    with np.errstate(all="ignore"):
        tail = np.exp(t - np.where(np.isinf(top), 0.0, top))
    return np.where(t == np.inf, 1.0, tail)


def _peaks(code: Callable[..., Any], w: Any, r: int, flat: Any, v: Any, t: Any) -> Any:
    """What all chunks of a huge row say about it."""

    def peak(w: Any, a: Any, b: Any) -> Any:
        st = np.empty((1, 3))
        code(a[0].dtype)(a[0], w, v, _NONE, st, np.empty(1), np.empty((1, 0), a[0].dtype), PEAK, 0)
        return st

    st = np.concatenate(each_chunk(peak, r, w, [flat], []))
    high = max(np.max(st[:, 0]), t[0] if t.size else -np.inf)
    return np.array([[high, np.min(st[:, 1]), np.sum(st[:, 2])]])


def _sum(parts: list[float], t: Any, st: Any) -> Any:
    """Sum of the weights of a huge row."""
    return np.array([sum(parts) + (float(_tails(t, st[:, 0])[0]) if t.size else 0.0)])


def _forward(x: Any, where: Any, sink: Any, axis: Any, kind: str, value: Any, logs: bool) -> Any:
    out = empty(x.shape, None, x)
    source, target = borrow(x), borrow(out)
    if source.size == 0:
        return out
    flat, w, y = (
        take_rows(source, axis), kept_rows(where, source.shape, axis), room_for_rows(target, axis)
    )  # fmt: skip
    name, v = _pieces(kind, value, logs)
    code, t = KERNELS[name][0].code, _sink_rows(sink, source.shape, axis)
    if is_long(flat):
        for r in range(flat.shape[0]):
            _long_forward(code, w, r, flat, y, v, t[r : r + 1], logs)
    else:

        def whole(w: Any, a: Any, b: Any) -> None:
            rows, st = a[0].shape[0], np.empty((a[0].shape[0], 3))
            code(a[0].dtype)(a[0], w, v, a[1], st, np.empty(rows), b[0], WHOLE, logs)

        each_block(whole, w, [flat, t], [y])
    put_rows(y, target, axis)
    return out


def _long_forward(code, w: Any, r: int, flat: Any, y: Any, v: Any, t: Any, logs: bool) -> None:
    st = _peaks(code, w, r, flat, v, t)

    def total(w: Any, a: Any, b: Any) -> float:
        s, scratch = np.empty(1), np.empty_like(a[0])
        code(a[0].dtype)(a[0], w, v, _NONE, st, s, scratch, TOTAL, logs)
        return float(s[0])

    s = _sum(each_chunk(total, r, w, [flat], []), t, st)

    def finish(w: Any, a: Any, b: Any) -> None:
        code(a[0].dtype)(a[0], w, v, t, st, s, b[0], FINISH, logs)

    each_chunk(finish, r, w, [flat], [y])


# -- backward ----------------------------------------------------------------------------------


def _backward(operands, cotangents, needs, axis, kind, value, logs) -> tuple[Any, None, Any]:
    (x, where, sink), (g,) = operands, cotangents
    wanted = needs[0], needs[2] and sink is not None
    source = borrow(x)
    if g is None or source.size == 0:
        return zeros(x) if wanted[0] else None, None, zeros(sink) if wanted[1] else None
    out = empty(x.shape, None, x)
    target = borrow(out)
    flat, w = take_rows(source, axis), kept_rows(where, source.shape, axis)
    g, dx = take_rows(borrow(g), axis), room_for_rows(target, axis)
    name, v = _pieces(kind, value, logs)
    code, t = KERNELS[name][1].code, _sink_rows(sink, source.shape, axis)
    count = flat.shape[0]
    st, s, d = np.empty((count, 3)), np.empty(count), np.empty(count)
    if is_long(flat):
        for r in range(count):
            here = slice(r, r + 1)
            st[here], s[here], d[here] = _long_backward(
                code, w, r, flat, g, dx, v, t[here], logs
            )  # fmt: skip
    else:

        def whole(w: Any, a: Any, b: Any) -> None:
            code(a[0].dtype)(a[0], w, v, a[1], a[2], *a[3:], b[0], WHOLE, logs)

        each_block(whole, w, [flat, t, g, st, s, d], [dx])
    put_rows(dx, target, axis)
    dsink = _sink_gradient(sink, x.shape, axis, t, st, s, d) if wanted[1] else None
    return out if wanted[0] else None, None, dsink


def _long_backward(code, w, r: int, flat, g, dx, v, t, logs: bool) -> tuple[Any, Any, Any]:
    def peak_code(dtype: Any) -> Any:
        def run(x, w, v, t, st, s, y, stage, logs):
            code(dtype)(x, w, v, t, x, st, s, s, y, stage, logs)

        return run

    st = _peaks(peak_code, w, r, flat, v, t)

    def total(w: Any, a: Any, b: Any) -> tuple[float, float]:
        s, d, scratch = np.empty(1), np.empty(1), np.empty_like(a[0])
        code(a[0].dtype)(a[0], w, v, _NONE, a[1], st, s, d, scratch, TOTAL, logs)
        return float(s[0]), float(d[0])

    parts = each_chunk(total, r, w, [flat, g], [])
    s, d = _sum([p[0] for p in parts], t, st), np.array([sum(p[1] for p in parts)])
    if not logs and s[0] != 0.0:
        d /= s

    def finish(w: Any, a: Any, b: Any) -> None:
        code(a[0].dtype)(a[0], w, v, t, a[1], st, s, d, b[0], FINISH, logs)

    each_chunk(finish, r, w, [flat, g], [dx])
    return st, s, d


def _sink_gradient(sink: Any, shape: Any, axis: Any, t, st, s, d) -> Any:
    """-p_sink times what each row received, summed over the rows that share a sink."""
    with np.errstate(all="ignore"):
        s = np.where(t == np.inf, 1.0, np.where(s == 0.0, 1.0, s))
        each = -_tails(t, st[:, 0]) / s * d
    each = np.where(t == np.inf, 0.0, each)
    rows = each.reshape([1 if i in axis else n for i, n in enumerate(shape)])
    axes = tuple(i for i, n in enumerate(sink.shape) if n == 1 and rows.shape[i] != 1)
    total = np.sum(rows, axis=axes, keepdims=True)
    out = empty(sink.shape, None, sink)
    borrow(out)[...] = total
    return out


def weights(x: Any, where: Any, sink: Any, /, *, axis: Any, kind: str, value: Any) -> Any:
    """Weights along the axes; see the primitive row_weights."""
    return _forward(x, where, sink, axis, kind, value, False)


def log_weights(x: Any, where: Any, sink: Any, /, *, axis: Any, kind: str, value: Any) -> Any:
    """Logarithms of the weights; see the primitive row_log_weights."""
    return _forward(x, where, sink, axis, kind, value, True)


def weights_backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, *, axis: Any, kind: str, value: Any
) -> tuple[Any, None, Any]:
    """Gradients of the weights with respect to x and the sink."""
    return _backward(operands, cotangents, needs, axis, kind, value, False)


def log_weights_backward(
    operands: Any, outputs: Any, cotangents: Any, needs: Any, /, *, axis: Any, kind: str, value: Any
) -> tuple[Any, None, Any]:
    """Gradients of the logarithms with respect to x and the sink."""
    return _backward(operands, cotangents, needs, axis, kind, value, True)
