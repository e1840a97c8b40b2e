"""Logsumexp with factors of any sign, the sign of the sum, and complex exponents."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array, shape_text, stop_gradient
from anymax._backends import quiet
from anymax.softmaxes._rows import Rows


def is_complex(x: Array) -> bool:
    return hasattr(x, "dtype") and _array.is_complex(x)


def kept_dims(r: Rows, y: Array, ndim: int) -> Array:
    """The summed axes of `y` back with size 1."""
    if r.scalar:
        return y
    for a in r.axis:
        y = r.xp.expand_dims(y, axis=a)
    return y


def logsumexp(
    x: Array,
    axis: int | tuple[int, ...] | None,
    where: Array | None,
    weight: Array | None,
    keepdims: bool,
    return_sign: bool,
) -> Array | tuple[Array, Array]:
    """See :func:`anymax.logsumexp`."""
    xp = _array.namespace("logsumexp", x=x, where=where, weight=weight)
    x, weight = _promote(xp, x, weight)
    dtype = x.dtype
    half = _array.is_half(x)
    x, weight = _array.widen(xp, x), _array.widen(xp, weight)
    if weight is not None and x.shape != weight.shape:
        _check_weight(x, weight)
        x, weight = xp.broadcast_arrays(x, weight)
    dims = _array.axes("logsumexp", axis, x.ndim)
    _array.check_mask("logsumexp", "where", where, x.shape, "x")
    scalar = x.ndim == 0 or not dims
    if scalar:
        x, dims = x[..., None], (x.ndim,)
        weight, where = (None if a is None else a[..., None] for a in (weight, where))
    with quiet(x):
        m, head, rest = _shifted_sum(xp, x, where, weight, dims)
        if _array.is_complex(x):
            value, sign = _complex_log(xp, m, rest, return_sign)
        else:
            value, sign = _real_log(xp, m, head, rest, return_sign)
    if scalar or not keepdims:
        value, sign = (xp.squeeze(a, axis=dims) for a in (value, sign))
    if half:
        value, sign = xp.astype(value, dtype), xp.astype(sign, dtype)
    return (value, sign) if return_sign else value


def _check_weight(x: Array, weight: Array) -> None:
    """Complain unless the two broadcast against each other (either may be the larger)."""
    pairs = zip(reversed(tuple(x.shape)), reversed(tuple(weight.shape)))
    if any(1 not in (a, b) and a != b and a == a and b == b for a, b in pairs):  # NaN is unknown
        raise ValueError(
            f"logsumexp: weight has shape {shape_text(weight.shape)}, which does not broadcast "
            f"against the shape {shape_text(x.shape)} of x"
        )


def _promote(xp: Any, x: Array, weight: Array | None) -> tuple[Array, Array | None]:
    if any(a is not None and is_complex(a) for a in (x, weight)):
        dtype = x.dtype if weight is None else xp.result_type(x, weight)
        return xp.astype(x, dtype), None if weight is None else xp.astype(weight, dtype)
    if weight is not None and _array.is_scalar(weight):
        weight = xp.asarray(weight, dtype=_array.float_dtype(xp, [x]), device=_array.device(x))
    x, weight = _array.promote(xp, "logsumexp", x=x, weight=weight)
    return x, weight


def _shifted_sum(xp, x, where, weight, dims) -> tuple[Array, Array, Array]:
    """The largest real exponent m, and the sum of w exp(x - m) as a head and a rest.

    The head holds the terms at the maximum, which are w exactly, so that the logarithm of the whole
    keeps the rest's digits.  Complex terms have no such head.
    """
    real = xp.real(x) if _array.is_complex(x) else x
    keep = real != -xp.inf
    if where is not None:
        keep = keep & where
    if weight is not None:
        keep = keep & (weight != 0)
    x0 = xp.where(keep, x, xp.zeros_like(x))
    if any(x.shape[a] == 0 for a in dims):
        nothing = xp.sum(x0, axis=dims, keepdims=True)
        return (xp.real(nothing) if _array.is_complex(x) else nothing), nothing, nothing
    bottom = xp.full_like(real, -xp.inf)
    m = xp.max(xp.where(keep, stop_gradient(real), bottom), axis=dims, keepdims=True)
    m = xp.where(xp.isfinite(m), m, xp.zeros_like(m))
    z = xp.where(keep, x0 - m, xp.zeros_like(x0))
    zero = xp.zeros_like(z)
    factor = xp.astype(keep, x.dtype) if weight is None else xp.where(keep, weight, zero)
    if _array.is_complex(x):
        total = xp.sum(factor * xp.exp(z), axis=dims, keepdims=True)
        return m, xp.zeros_like(total), total
    top = keep & (real == m)
    terms = xp.where(top, xp.expm1(xp.where(top, z, zero)), xp.exp(xp.where(top, zero, z)))
    head = xp.sum(xp.where(top, factor, zero), axis=dims, keepdims=True)
    return m, head, xp.sum(factor * terms, axis=dims, keepdims=True)


def _real_log(xp, m: Array, head: Array, rest: Array, return_sign: bool) -> tuple[Array, Array]:
    s = head + rest
    one, zero, fixed = xp.ones_like(s), xp.zeros_like(s), stop_gradient(s)
    sign = xp.where(fixed > 0, one, xp.where(fixed < 0, -one, fixed))  # xp.sign fails under vmap
    lost = s == 0 if return_sign else s <= 0
    size = xp.where(lost, one, s * sign)
    near = ~lost & (xp.abs(rest) < 0.5 * xp.abs(head))
    h, r = xp.where(near, head, one), xp.where(near, rest, zero)
    log = xp.where(near, xp.log(xp.abs(h)) + xp.log1p(r / h), xp.log(size)) + m
    log = xp.where(s == 0, xp.full_like(log, -xp.inf), log)
    if not return_sign:
        log = xp.where(s < 0, xp.full_like(log, xp.nan), log)
    return log, sign


def _complex_log(xp, m: Array, s: Array, return_sign: bool) -> tuple[Array, Array]:
    zero = s == 0
    safe = xp.where(zero, xp.ones_like(s), s)
    size = xp.abs(safe)
    sign = xp.where(zero, xp.zeros_like(s), safe / size)
    if return_sign:
        return xp.where(zero, xp.full_like(size, -xp.inf), xp.log(size) + m), sign
    value = xp.log(safe) + m
    return xp.where(zero, xp.full_like(value, -xp.inf), value), sign
