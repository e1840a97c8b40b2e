"""Temperatures of examples: the root that defines the best one, two-sided losses, the network."""

from __future__ import annotations

import math
from typing import Any

from anymax import _array, _solve
from anymax._array import Array
from anymax.losses._classes import Classes
from anymax.losses.contrastive import _views
from anymax.losses.contrastive._views import others
from anymax.primitives._masked import nonzero, safe_max, select
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._operands import beside_tape
from anymax.softmaxes._rows import positive as positive_number
from anymax.softmaxes.structured._log_sigmoid import sigmoid

_STEPS, _FLAT = 24, 1e-12


def limits(function: str, low: Any, high: Any) -> tuple[float, float]:
    """The limits of a temperature as numbers, in order."""
    low = positive_number(function, "min_temperature", low)
    if high is None:
        return low, math.inf
    high = positive_number(function, "max_temperature", high)
    if high < low:
        raise ValueError(
            f"{function}: max_temperature is {high}, less than min_temperature, {low}; "
            "at least that fits"
        )
    return low, high


def each(c: Classes, function: str, name: str, x: Array, *, positive: bool = True) -> Array:
    """A number an example, 1 where no class takes part."""
    xp = c.xp
    x = beside_tape(xp, _array.widen(xp, x))
    _array.check_broadcast(function, name, x, c.keep.shape[:-1], "the unreduced loss")
    x = select(xp, c.live, xp.broadcast_to(x, c.keep.shape[:-1]), 1.0)
    if positive and _array.values_known(x):
        good = xp.all((xp.isfinite(x) & (x > 0)) | xp.isnan(x))
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{function}: {name} must be positive and finite everywhere")
    return x


def solve(xp: Any, x: Array, keep: Array, rho: Array, low: float, high: float) -> Array:
    r"""Temperatures (...) with KL(softmax(x / t) || even) = rho, between the limits.

    The unknown is -log t, the residual log rho - log KL: nearly linear, and from the warm end its
    Newton steps do not overshoot.  KL is at most :math:`R^2/8t^2` for logits of range R.
    """
    bad = xp.any(keep & ~xp.isfinite(x), axis=-1)
    keep = keep & ~bad[..., None]
    x = select(xp, keep, x)
    count = nonzero(xp, xp.sum(xp.astype(keep, x.dtype), axis=-1))
    top = safe_max(xp, x, keep, (x.ndim - 1,))
    z = select(xp, keep, x - top)
    rho = rho + xp.zeros_like(count)

    def divergence(s: Array, z: Array) -> tuple[Array, Array]:
        """KL and its slope in s = -log t, at least 0."""
        u = z * xp.exp(s)[..., None]
        e = select(xp, keep, xp.exp(select(xp, keep, u)))
        total = nonzero(xp, xp.sum(e, axis=-1))
        mean = xp.sum(e * u, axis=-1) / total
        spread = select(xp, keep, u - mean[..., None])
        variance = xp.sum(e * xp.square(spread), axis=-1) / total
        return mean - xp.log(total / count), variance

    constant = _array.stop_gradient(z)
    width = -xp.min(constant, axis=-1) if z.shape[-1] else xp.zeros_like(count)
    fixed = _array.stop_gradient(rho)
    some = (fixed > 0) & (width > 0)
    warm = select(xp, some, width, 1.0) / xp.sqrt(8.0 * select(xp, some, fixed, 1.0))
    cold = xp.full_like(warm, -math.log(low))
    hot = xp.minimum(-xp.log(warm), cold)
    if math.isfinite(high):
        hot = xp.where(hot < -math.log(high), xp.full_like(hot, -math.log(high)), hot)
    at_cold, at_hot = divergence(cold, constant)[0], divergence(hot, constant)[0]
    cool = (at_cold <= fixed) | (width <= 0)
    limited = ~cool & (fixed <= 0 if not math.isfinite(high) else (at_hot >= fixed))
    inside = some & ~cool & ~limited

    def residual(s: Array, z: Array, rho: Array) -> tuple[Array, Array]:
        kl, slope = divergence(s, z)
        kl, slope = select(xp, inside & (kl > 0), kl, 1.0), select(xp, inside & (kl > 0), slope)
        value = xp.log(select(xp, inside, rho, 1.0)) - xp.log(kl)
        # Where rounding has left no slope the step is as long as the bracket, and is halved.
        return value, xp.where(inside & (slope <= _FLAT), xp.full_like(kl, -_FLAT), -slope / kl)

    s = _solve.root(residual, hot, cold, z, rho, steps=_STEPS, order=2)
    t = select(xp, inside, xp.exp(-select(xp, inside, s)), low)
    t = xp.where(limited, xp.full_like(t, high), t)
    return xp.where(bad, xp.full_like(t, xp.nan), t)


def two_sided(
    xp: Any, views: tuple, temperatures: tuple, rho: Any, where: Array | None, rows: tuple,
    surrogate: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """Losses (..., B) of both sides, and who has negatives on any."""
    place = _array.arange(xp, rows[-1], views[0])
    keep = None if where is None else _views.allowed(xp, where, place)
    own = _views.dots(xp, views[0], views[1], keep)
    total, live = xp.zeros_like(own), None
    for a, b, t, turned in (
        (*views, temperatures[0], False),
        (*views[::-1], temperatures[1], True),
    ):
        mask = xp.matrix_transpose(where) if turned and where is not None else where
        loss, seen = _one_side(xp, a, b, own, t, rho, mask, rows, surrogate)
        if keep is not None:
            loss = xp.where(seen & ~keep, xp.full_like(loss, xp.inf), loss)
        total, live = total + loss, seen if live is None else live | seen
    return total, live


def _one_side(xp, a, b, own, t, rho, where, rows, surrogate) -> tuple[Array, Array]:
    lse, _ = others(a, b, where, t, diagonal=False)
    seen = lse != -xp.inf
    count = _count(xp, lse, where, rows)
    flat = select(xp, seen, t[..., 0], 1.0)
    worst = select(xp, seen, lse) - own / flat - xp.log(select(xp, count > 0, count, 1.0))
    loss = select(xp, seen, flat * (worst + rho))
    if surrogate:
        a0, b0, own0, t0 = (_array.stop_gradient(x) for x in (a, b, own, t))
        value = _expected_margin(xp, a0, b0, own0, t0, where, rows)
        loss = loss + _array.stop_gradient(select(xp, seen, value) - loss)
    return loss, seen


def _count(xp: Any, like: Array, where: Array | None, rows: tuple) -> Array:
    """How many negatives each row has."""
    if where is None:
        return xp.full_like(like, rows[-1] - 1)
    return xp.sum(xp.astype(_negatives(xp, like, where, rows), like.dtype), axis=-1)


def _negatives(xp: Any, like: Array, where: Array | None, rows: tuple) -> Array:
    place = _array.arange(xp, rows[-1], like)
    apart = place[:, None] != place
    return apart if where is None else apart & where


def _expected_margin(xp, a, b, own, t, where, rows) -> Array:
    """Sum of softmax weights times S_ij - S_ii over the negatives."""
    part = _negatives(xp, own, where, rows)
    s = xp.matmul(a, xp.matrix_transpose(b))
    z = s / t
    part = xp.broadcast_to(part, z.shape)
    w = row_softmax(z, part, axis=(z.ndim - 1,), scale=1.0)
    return xp.sum(select(xp, part, w * select(xp, part, s - own[..., None])), axis=-1)


def network(xp: Any, function: str, kind: str, x: Array, *params: Array) -> Array:
    """The share of the range of temperatures, in (0, 1)."""
    if kind == "llm":
        w1, b1, w2, b2, u, c, s = params
        h = _layer(xp, sigmoid(xp, _layer(xp, _views.normalized(xp, x), w1, b1)), w2, b2)
        g = h
    else:
        w1, b1, prototypes, u, c, s = params
        g = _layer(xp, sigmoid(xp, _layer(xp, x, w1, b1)), _views.normalized(xp, prototypes))
        h = sigmoid(xp, g)
    z = g / xp.exp(s)
    w = row_softmax(z, None, axis=(z.ndim - 1,), scale=1.0)
    o = _layer(xp, (w - 1.0 / max(w.shape[-1], 1)) * h, u, c)
    return sigmoid(xp, o[..., 0])


def _layer(xp: Any, x: Array, w: Array, b: Array | None = None) -> Array:
    y = xp.matmul(x[..., None, :], xp.matrix_transpose(w))[..., 0, :]
    return y if b is None else y + b
