r"""Weights :math:`\phi(z-\tau)` of rows, with the threshold at which they sum to what they should.

Contract: ``f(x, where, parameter, axis=, kind=, value=, scale=)`` with ``x`` floating, ``where``
boolean (broadcastable to ``x``) or None, ``axis`` a sorted tuple of non-negative ints.  Each row
has one parameter a: the array ``parameter`` (of the shape of ``x`` with size 1 along ``axis``), or
the Python float ``value`` when that is None.  With z = scale * x the kinds are

* ``entmax``: :math:`[1+(a-1)(z-\tau)]_+^{1/(a-1)}`, sum 1, a >= 1 (2 sparsemax, 1 softmax);
* ``normmax``: :math:`v^{1/(a-1)}` over its sum, :math:`v=[z-\tau]_+`, :math:`\sum v^{a/(a-1)}=1`;
* ``budget``: z - tau clipped to [0, 1], sum a;
* ``soft_top_k``, ``log_soft_top_k``: sigmoids of z - tau with sum a, and their logarithms.

A logit of -inf is masked.  A row that holds NaN or +inf gives NaN where it is not masked.  A sum a
that is at most 0, or at least the number of cells that take part, gives weights of 0 or 1.

A kind is a function for its weights here, its line in `KINDS`, and its line in the kernel's table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from anymax._array import Array
from anymax._dispatch import Facts, Kernel, Primitive
from anymax.primitives import _thresholds as maps
from anymax.primitives._masked import kept, nonzero, safe_max, select
from anymax.primitives._thresholds import total


def _reference(xp, x, where, parameter, *, axis, kind, value, scale):
    keep = kept(xp, x, where)
    bad = xp.any(keep & ~xp.isfinite(x), axis=axis, keepdims=True)
    live = keep & ~bad
    z = select(xp, live, select(xp, live, x) - safe_max(xp, x, live, axis))
    if scale != 1.0:
        z = z * scale
    n = total(xp, xp.astype(live, x.dtype), axis)
    y = KINDS[kind].weights(xp, z, live, n, value if parameter is None else parameter, axis)
    y = xp.where(bad, xp.full_like(y, xp.nan), y)
    return select(xp, keep, y, -xp.inf if kind == "log_soft_top_k" else 0.0)


# -- derivatives, from the weights alone; 0 in rows of NaN ---------------------------------------


def _through(xp: Any, s: Array, g: Array, axis: tuple) -> tuple[Array, Array, Array]:
    """s (g - <s, g> / sum s): the slopes' symmetric Jacobian; the mean of g, and the sum of s."""
    whole = nonzero(xp, total(xp, s, axis))
    mean = total(xp, s * g, axis) / whole
    return s * (g - mean), mean, whole


def _logs(xp: Any, p: Array) -> tuple[Array, Array]:
    """Where p is positive, and its logarithm there."""
    live = p > 0
    return live, xp.log(select(xp, live, p, 1.0))


def _power_vjp(xp, p, g, alpha, axis, need):
    live, log_p = _logs(xp, p)
    g = select(xp, live, g)
    s = select(xp, live, xp.exp((2.0 - alpha) * log_p))
    dx, mean, _ = _through(xp, s, g, axis)
    if not need:
        return dx, None
    at_once = select(xp, live, p * maps.power_slope(xp, log_p, alpha - 1.0))
    return dx, total(xp, (g - mean) * at_once, axis)


def _normed_vjp(xp, p, g, alpha, axis, need):
    live, log_p = _logs(xp, p)
    g = select(xp, live, g)
    b = select(xp, live, xp.exp((2.0 - alpha) * log_p))
    r = select(xp, live, xp.exp(alpha * log_p))  # w ** (alpha / (alpha - 1)), up to its sum
    whole = nonzero(xp, total(xp, r, axis))
    log_w = (alpha - 1.0) * (log_p - xp.log(whole) / alpha)  # of what is above the threshold
    mean = total(xp, g * p, axis)
    spread = total(xp, b * (g - mean), axis)
    factor = xp.exp((1.0 - 1.0 / alpha) * xp.log(whole)) / (alpha - 1.0)
    dx = select(xp, live, factor * (b * (g - mean) - p * spread))
    if not need:
        return dx, None
    r = r / whole
    above = select(xp, live, xp.exp(-log_w))  # 1 / w
    shift = (alpha - 1.0) / alpha * total(xp, r * log_w, axis)
    shift = shift / nonzero(xp, total(xp, r * above, axis))
    moved = p * (select(xp, live, log_w) - above * shift / (alpha - 1.0))
    return dx, -total(xp, (g - mean) * moved, axis) / (alpha - 1.0) ** 2


def _budget_vjp(xp, p, g, budget, axis, need):
    inside = (p > 0) & (p < 1)
    dx, mean, _ = _through(xp, xp.astype(inside, p.dtype), select(xp, inside, g), axis)
    return dx, mean


def _sigmoid_vjp(xp, p, g, k, axis, need):
    live = p > 0
    p = select(xp, live, p)
    dx, mean, _ = _through(xp, p * (1.0 - p), select(xp, live, g), axis)
    return dx, mean


def _log_sigmoid_vjp(xp, y, g, k, axis, need):
    live = y > -xp.inf
    y, g = select(xp, live, y), select(xp, live, g)
    p, q = select(xp, live, xp.exp(y)), select(xp, live, -xp.expm1(y))
    mean = total(xp, q * g, axis) / nonzero(xp, total(xp, p * q, axis))
    return select(xp, live, q * (g - p * mean)), mean


class _Kind(NamedTuple):
    weights: Callable[..., Array]
    vjp: Callable[..., tuple[Array, Array | None]]


KINDS = {
    "entmax": _Kind(maps.powers, _power_vjp),
    "normmax": _Kind(maps.normed, _normed_vjp),
    "budget": _Kind(maps.budgeted, _budget_vjp),
    "soft_top_k": _Kind(maps.sigmoids, _sigmoid_vjp),
    "log_soft_top_k": _Kind(maps.log_sigmoids, _log_sigmoid_vjp),
}


def _vjp(xp, operands, outputs, cotangents, needs, *, axis, kind, value, scale):
    (y,), (g,), parameter = outputs, cotangents, operands[2]
    if g is None or not any(needs):
        return None, None, None
    a = value if parameter is None else parameter
    dx, da = KINDS[kind].vjp(xp, y, g, a, axis, needs[2])
    return (scale * dx if needs[0] else None), None, (da if needs[2] else None)


def _jvp(xp, operands, outputs, tangents, *, axis, kind, value, scale):
    """The tangent of x alone: of the parameter, forward mode asks the reference."""
    y, t, parameter = outputs[0], tangents[0], operands[2]
    a = value if parameter is None else parameter
    if kind != "log_soft_top_k":  # the Jacobian is symmetric
        return (scale * KINDS[kind].vjp(xp, y, t, a, axis, False)[0],)
    live = y > -xp.inf
    y = select(xp, live, y)
    p, q = select(xp, live, xp.exp(y)), select(xp, live, -xp.expm1(y))
    return (scale * q * (t - _through(xp, p * q, select(xp, live, t), axis)[1]),)


def _why_not(facts: Facts) -> str | None:
    return "a gradient of the parameter is wanted" if facts.wants[2] else None


row_threshold = Primitive(
    "row_threshold",
    _reference,
    _vjp,
    _jvp,
    (True,),
    (
        Kernel("numba", "anymax._cpu.row_threshold", "forward", "backward", _why_not),
        Kernel("cuda", "anymax._cuda.row_threshold", "forward", "backward", _why_not),
    ),
)
