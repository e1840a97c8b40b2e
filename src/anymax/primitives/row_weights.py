"""Weights s(x) / sum s(x) along axes, and their logarithms, for a choice of weight functions s.

Contract: ``f(x, where, sink, axis=, kind=, value=)`` with ``x`` floating, ``where`` boolean
(broadcastable to ``x``) or None, ``sink`` None or float32 or float64, of as many axes as ``x`` and
size 1 along `axis`: the logit of one more term ``exp(sink)`` in the sum, for ``kind="exp"`` only.
``axis`` is a sorted tuple of non-negative ints.

================  ============================================  ===========================
kind              s(x)                                          value
================  ============================================  ===========================
``"exp"``         e^x                                           ()
``"sigsoft"``     e^x / (1 + e^-x)                              ()
``"scalable"``    e^((s log n + b) x), n cells taking part      (s, b)
``"power"``       x^a on x >= 0; a negative x is NaN            (a,), a > 0
``"spherical"``   x^2 + eps; a row of zeros alone is uniform    (eps,)
``"taylor"``      1 + x + ... + x^order / order!                (order,), even
``"stable"``      1 + x, or 1 / (1 - x) below 0                 ()
================  ============================================  ===========================

A cell of -inf is masked like one that ``where`` excludes, whatever s is.  NaN and +inf that take
part make NaN of their row.  A cell of weight 0 has the logarithm -inf, and no gradient there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax._array import Array, stop_gradient
from anymax._dispatch import Kernel, Primitive
from anymax.primitives._masked import kept, nonzero, safe_max, select
from anymax.primitives._weights import WEIGHTS, Anchors

ORDERS = (2, 4, 6)  # Taylor orders that kernels have


class _Row(NamedTuple):
    """A row taken apart: its cells (0 where masked), constants, sums, and who takes part."""

    x: Array
    keep: Array
    anchors: Anchors
    z: Array | None  # logarithms of w: for the logarithm w comes of them, so a lone cell cancels
    w: Array
    total: Array
    sink: Array | float


def _row(xp: Any, x, where, sink, axis: tuple, kind: str, value: tuple, logs: bool = False) -> _Row:
    f, keep = WEIGHTS[kind], kept(xp, x, where)
    if sink is not None:
        keep = keep & (sink != xp.inf)  # it takes the whole row
        sink = select(xp, sink != xp.inf, sink)
    x0 = select(xp, keep, x)
    bad = xp.any(keep & ~f.valid(xp, x0), axis=axis, keepdims=True)
    anchors = f.anchor(xp, x0, keep, axis, value)
    if sink is not None:
        anchors = (_with_sink(xp, anchors[0], sink, keep, axis),)
    z = select(xp, keep, f.log(xp, x0, anchors, value)) if logs else None
    if logs and sink is None:  # exactly 1 for the largest weight: a lone one has no gradient at all
        z = select(xp, keep, z - safe_max(xp, z, keep, axis))
    w = select(xp, keep, f.weigh(xp, x0, anchors, value) if z is None else xp.exp(z))
    total = xp.sum(w, axis=axis, keepdims=True)
    tail: Array | float = 0.0
    if sink is not None:
        tail = xp.exp(sink - anchors[0])
        total = total + tail
    total = xp.where(bad, xp.full_like(total, xp.nan), total)
    return _Row(x0, keep, anchors, z, w, nonzero(xp, total), tail)


def _with_sink(xp: Any, m: Array, sink: Array, keep: Array, axis: tuple) -> Array:
    """The largest logit, the sink among them, as a constant; never -inf."""
    some = xp.any(keep, axis=axis, keepdims=True)
    m, s = xp.where(some, m, xp.full_like(m, -xp.inf)), stop_gradient(sink)
    m = xp.where(s > m, s, m)
    return select(xp, m != -xp.inf, m)


def _weights(xp, x, where, sink, *, axis, kind, value):
    row = _row(xp, x, where, sink, axis, kind, value)
    return select(xp, row.keep, row.w / row.total)


def _log_weights(xp, x, where, sink, *, axis, kind, value):
    row = _row(xp, x, where, sink, axis, kind, value, logs=True)
    return select(xp, row.keep, row.z - xp.log(row.total), -xp.inf)


# -- derivatives -------------------------------------------------------------------------------


def _weights_vjp(xp, operands, outputs, cotangents, needs, *, axis, kind, value):
    (x, where, sink), (g,) = operands, cotangents
    if g is None:
        return None, None, None
    row = _row(xp, x, where, sink, axis, kind, value)
    g = select(xp, row.keep, g)
    mean = xp.sum(row.w / row.total * g, axis=axis, keepdims=True)
    rate = WEIGHTS[kind].rate(xp, row.x, row.w, row.anchors, value)
    dx = select(xp, row.keep, rate / row.total * (g - mean)) if needs[0] else None
    return dx, None, _sink_gradient(xp, row, mean, sink) if needs[2] else None


def _log_weights_vjp(xp, operands, outputs, cotangents, needs, *, axis, kind, value):
    (x, where, sink), (g,) = operands, cotangents
    if g is None:
        return None, None, None
    row = _row(xp, x, where, sink, axis, kind, value, logs=True)
    live = row.keep & (outputs[0] != -xp.inf)
    total = xp.sum(select(xp, live, g), axis=axis, keepdims=True)
    p = row.w / row.total
    slope = WEIGHTS[kind].rate(xp, row.x, 1.0, row.anchors, value)
    dx = select(xp, live, slope * (g - p * total)) if needs[0] else None
    return dx, None, _sink_gradient(xp, row, total, sink) if needs[2] else None


def _sink_gradient(xp: Any, row: _Row, total: Array, sink: Array) -> Array:
    """-p_sink times what the row received, summed over the rows that share a sink."""
    d = -(row.sink / row.total) * total
    axes = tuple(a for a in range(d.ndim) if sink.shape[a] == 1 and d.shape[a] != 1)
    return xp.sum(d, axis=axes, keepdims=True) if axes else d


def _weights_jvp(xp, operands, outputs, tangents, *, axis, kind, value):
    row, rate, sunk = _pushed(xp, operands, tangents, axis, kind, value)
    flow = rate / row.total
    p = row.w / row.total
    y = flow - p * (xp.sum(flow, axis=axis, keepdims=True) + sunk)
    return (select(xp, row.keep, y),)


def _log_weights_jvp(xp, operands, outputs, tangents, *, axis, kind, value):
    row, rate, sunk = _pushed(xp, operands, tangents, axis, kind, value)
    live = row.keep & (outputs[0] != -xp.inf)
    slope = WEIGHTS[kind].rate(xp, row.x, 1.0, row.anchors, value)
    mean = xp.sum(rate / row.total, axis=axis, keepdims=True) + sunk
    return (select(xp, live, slope * select(xp, live, tangents[0]) - mean),)


def _pushed(xp, operands, tangents, axis, kind, value):
    x, where, sink = operands
    row = _row(xp, x, where, sink, axis, kind, value)
    rate = WEIGHTS[kind].rate(xp, row.x, row.w, row.anchors, value)
    sunk = 0.0 if sink is None or tangents[2] is None else row.sink / row.total * tangents[2]
    return row, select(xp, row.keep, rate * select(xp, row.keep, tangents[0])), sunk


# -- kernels -----------------------------------------------------------------------------------


def why_not(facts: Any) -> str | None:
    kind, value = facts.options["kind"], facts.options["value"]
    if kind == "taylor" and value[0] not in ORDERS:
        return f"the Taylor order is {int(value[0])}; orders 2, 4 and 6 have a kernel"
    return None


def _kernels(name: str) -> tuple[Kernel, ...]:
    return (
        Kernel("numba", "anymax._cpu.row_weights", name, f"{name}_backward", why_not),
        Kernel("cuda", "anymax._cuda.row_weights", name, f"{name}_backward", why_not),
    )


row_weights = Primitive(
    "row_weights", _weights, _weights_vjp, _weights_jvp, (True,), _kernels("weights")
)
row_log_weights = Primitive(
    "row_log_weights", _log_weights, _log_weights_vjp, _log_weights_jvp, (True,),
    _kernels("log_weights"),
)  # fmt: skip
