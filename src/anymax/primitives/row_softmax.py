"""Softmax, its logarithm and its normaliser along axes: reference, derivatives, kernels.

Contract: ``f(x, where, axis=, scale=)`` with ``x`` floating, ``where`` boolean (broadcastable to
``x``) or None, ``axis`` a sorted tuple of non-negative ints, ``scale`` a Python float.  The logits
are ``scale * x``; a logit of -inf is masked like one that ``where`` excludes.
"""

from __future__ import annotations

from typing import Any

from anymax._array import Array, library
from anymax._dispatch import Kernel, Primitive
from anymax.primitives._masked import exponentials, nonzero, select


def _softmax(xp: Any, x: Array, where: Array | None, *, axis: tuple, scale: float) -> Array:
    if where is None and library(x) == "numpy" and 0 not in x.shape:
        p = _lean(xp, x, axis, scale)
        if p is not None:
            return p
    _, e, s, _, keep = exponentials(xp, x, where, axis, scale)
    return select(xp, keep, e / nonzero(xp, s))  # again, as 0 / NaN is NaN in a bad row


def _lean(xp: Any, x: Array, axis: tuple, scale: float) -> Array | None:
    """Softmax in six calls when every row's maximum is finite, which rules out NaN and +inf."""
    if scale != 1.0:
        x = x * scale
    m = xp.max(x, axis=axis, keepdims=True)
    if not bool(xp.all(xp.isfinite(m))):
        return None
    e = xp.exp(x - m)
    return e / xp.sum(e, axis=axis, keepdims=True)


def _softmax_vjp(xp, operands, outputs, cotangents, needs, *, axis, scale):
    (p,), (g,) = outputs, cotangents
    if g is None or not needs[0]:
        return None, None
    return _centred(xp, p, g, axis, scale), None


def _softmax_jvp(xp, operands, outputs, tangents, *, axis, scale):
    return (_centred(xp, outputs[0], tangents[0], axis, scale),)


def _centred(xp: Any, p: Array, g: Array, axis: tuple, scale: float) -> Array:
    """p (g - <p, g>): the symmetric Jacobian of softmax applied to g; exactly 0 where p is."""
    live = p != 0
    g = select(xp, live, g)
    mean = xp.sum(p * g, axis=axis, keepdims=True)
    return select(xp, live, p * (g - mean) * scale)


def _log_softmax(xp: Any, x: Array, where: Array | None, *, axis: tuple, scale: float) -> Array:
    z, _, s, _, keep = exponentials(xp, x, where, axis, scale)
    return select(xp, keep, z - xp.log(nonzero(xp, s)), -xp.inf)


def _log_softmax_vjp(xp, operands, outputs, cotangents, needs, *, axis, scale):
    (y,), (g,) = outputs, cotangents
    if g is None or not needs[0]:
        return None, None
    live = y != -xp.inf
    g = select(xp, live, g)
    p = xp.exp(select(xp, live, y))
    return select(xp, live, (g - p * xp.sum(g, axis=axis, keepdims=True)) * scale), None


def _log_softmax_jvp(xp, operands, outputs, tangents, *, axis, scale):
    live = outputs[0] != -xp.inf
    t = select(xp, live, tangents[0])
    p = select(xp, live, xp.exp(select(xp, live, outputs[0])))
    return (select(xp, live, (t - xp.sum(p * t, axis=axis, keepdims=True)) * scale),)


def _logsumexp(xp: Any, x: Array, where: Array | None, *, axis: tuple, scale: float) -> Array:
    """The terms at the maximum are counted and the rest goes through log1p: no digit is lost."""
    z, e, s, m, keep = exponentials(xp, x, where, axis, scale)
    top = keep & (z == 0)
    count = xp.sum(xp.astype(top, e.dtype), axis=axis, keepdims=True)
    rest = xp.sum(xp.where(top, xp.expm1(select(xp, top, z)), e), axis=axis, keepdims=True)
    # XLA may round x differently for m and for z, so that no z is 0: then s = 1 + (s - 1)
    rest = rest - xp.astype((count == 0) & (s != 0), e.dtype)
    count = nonzero(xp, count)
    lse = select(xp, s != 0, xp.log(count) + xp.log1p(rest / count) + m, -xp.inf)
    return xp.squeeze(xp.where(m == xp.inf, m, lse), axis=axis)


def _logsumexp_vjp(xp, operands, outputs, cotangents, needs, *, axis, scale):
    if cotangents[0] is None or not needs[0]:
        return None, None
    g = _expand(xp, cotangents[0], axis)
    return g * _responsibilities(xp, operands, axis, scale) * scale, None


def _logsumexp_jvp(xp, operands, outputs, tangents, *, axis, scale):
    p = _responsibilities(xp, operands, axis, scale)
    t = select(xp, p != 0, tangents[0])
    return (xp.sum(p * t, axis=axis) * scale,)


def _responsibilities(xp, operands, axis, scale) -> Array:
    """d logsumexp / d logit: the softmax, from the logits.

    The saved normaliser will not do: next to logits of 1e4 its rounding alone, exponentiated, is an
    error of 1e-3 in float32 and of a factor of two in float16.
    """
    return _softmax(xp, *operands, axis=axis, scale=scale)


def _expand(xp: Any, y: Array, axis: tuple) -> Array:
    for a in axis:
        y = xp.expand_dims(y, axis=a)
    return y


def _always(facts) -> None:
    return None


def _kernels(name: str, module: str = "row_softmax", lane: str | None = None) -> tuple[Kernel, ...]:
    back = f"{name}_backward"
    return (
        Kernel("numba", f"anymax._cpu.{module}", name, back, _always, lane=lane),
        Kernel("cuda", "anymax._cuda.row_softmax", name, back, _always),
    )


row_softmax = Primitive(
    "row_softmax", _softmax, _softmax_vjp, _softmax_jvp, (True,), _kernels("softmax", lane="lane")
)
row_log_softmax = Primitive(
    "row_log_softmax", _log_softmax, _log_softmax_vjp, _log_softmax_jvp, (True,),
    _kernels("log_softmax", lane="log_lane"),
)  # fmt: skip
row_logsumexp = Primitive(
    "row_logsumexp",
    _logsumexp,
    _logsumexp_vjp,
    _logsumexp_jvp,
    (True,),
    _kernels("logsumexp", "row_logsumexp", lane="lane"),
)
