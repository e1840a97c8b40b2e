"""What Fenchel-Young losses share: regularizers, best responses, and the loss itself.

The loss is differentiated by the envelope theorem. The slope by the best response is 0, so that the
response may stand as a constant, and no gradient passes through its threshold.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses._classes import Classes, classes
from anymax.losses.classification._costs import beside, by_example
from anymax.primitives._masked import nonzero, safe_max, select
from anymax.primitives._thresholds import tsallis_log
from anymax.primitives.row_softmax import row_softmax
from anymax.primitives.row_threshold import row_threshold
from anymax.softmaxes.sparse._parameters import (
    ABOVE_ONE,
    AT_LEAST_ONE,
    Bound,
    check_rowwise,
    number,
)

_LOWEST = -1e4  # stands for log 0, and keeps slopes at p = 0 finite


class Regularizer(NamedTuple):
    """Omega, its slopes up to a constant, at one-hot rows, and the threshold of its argmax."""

    value: Any  # (xp, p, alpha) -> (...)
    slope: Any  # (xp, p, alpha) -> (..., C)
    at_corner: float
    kind: str
    bound: Bound


def _logs(xp: Any, p: Array) -> Array:
    live = p > 0
    return select(xp, live, xp.log(select(xp, live, p, 1.0)), _LOWEST)


def _tsallis(xp: Any, p: Array, alpha: Any) -> Array:
    if _array.is_scalar(alpha) and alpha == 2.0:
        return 0.5 * xp.sum(p * (p - 1.0), axis=-1)
    return xp.sum(p * tsallis_log(xp, _logs(xp, p), alpha - 1.0) / alpha, axis=-1)


def _tsallis_slope(xp: Any, p: Array, alpha: Any) -> Array:
    return tsallis_log(xp, _logs(xp, p), alpha - 1.0)


def _norm(xp: Any, p: Array, alpha: Any) -> Array:
    return xp.exp(xp.squeeze(_log_norm(xp, _logs(xp, p), alpha), axis=-1))


def _norm_slope(xp: Any, p: Array, alpha: Any) -> Array:
    log_p = _logs(xp, p)
    return xp.exp((alpha - 1.0) * (log_p - _log_norm(xp, log_p, alpha)))


def _log_norm(xp: Any, log_p: Array, alpha: Any) -> Array:
    s = xp.sum(xp.exp(alpha * log_p), axis=-1, keepdims=True)
    return select(xp, s != 0, xp.log(nonzero(xp, s)) / alpha, _LOWEST)


TSALLIS = Regularizer(_tsallis, _tsallis_slope, 0.0, "entmax", AT_LEAST_ONE)
NORM = Regularizer(_norm, _norm_slope, 1.0, "normmax", ABOVE_ONE)


def loss_of(function, omega, logits, target, alpha, axis, where, weight, reduction) -> Array:
    logits, alpha = beside(function, logits, alpha=alpha)
    c = classes(
        function, logits, target, axis=axis, where=where, weight=weight, reduction=reduction
    )
    alpha = _order(function, c, alpha, omega.bound)
    xp, last = c.xp, (c.logits.ndim - 1,)
    p = _response(c, omega.kind, alpha)
    q = _array.stop_gradient(p)
    t = select(xp, c.keep, c.probabilities())
    top = safe_max(xp, c.logits, c.keep, last)
    z = select(xp, c.keep, c.logits - top)
    loss = xp.sum((q - t) * z, axis=-1) - omega.value(xp, q, alpha)
    if c.labels:
        loss = loss + omega.at_corner
    else:
        loss = loss + omega.value(xp, t, alpha)
        loss = loss + xp.squeeze(top, axis=-1) * (1.0 - xp.sum(t, axis=-1))
    if _array.library(p) in ("torch", "jax"):
        slope = z if _array.is_scalar(alpha) else z - omega.slope(xp, q, alpha)
        loss = loss + _curvature(xp, p - q, slope)
    return c.finish(loss, reduction)


def _order(function: str, c: Classes, alpha: Any, bound: Bound) -> Any:
    """Alpha as a float, or as an array with an axis of size 1 for the classes."""
    if _array.is_scalar(alpha):
        return number(function, "alpha", alpha, bound)
    alpha = by_example(function, "alpha", alpha, c)[..., None]
    check_rowwise(c.xp, function, "alpha", alpha, c.logits, (c.logits.ndim - 1,), bound)
    return c.xp.broadcast_to(alpha, (*c.logits.shape[:-1], 1))


def _response(c: Classes, kind: str, alpha: Any) -> Array:
    last = (c.logits.ndim - 1,)
    if _array.is_scalar(alpha) and alpha == 1.0:
        return row_softmax(c.logits, c.keep, axis=last, scale=1.0)
    scalar = _array.is_scalar(alpha)
    value, array = (alpha, None) if scalar else (0.0, alpha)
    return row_threshold(c.logits, c.keep, array, axis=last, kind=kind, value=value, scale=1.0)


def _curvature(xp: Any, response: Array, slope: Array) -> Array:
    """0 with gradient 0, whose second derivative is that of the loss by way of the best response.

    `response` and `slope` less its constant are 0: half their product has only the mixed
    derivative, the Jacobian of the response times that of the slope, which is symmetric.
    """
    change = slope - _array.stop_gradient(slope)
    return 0.5 * xp.sum(response * change, axis=-1)
