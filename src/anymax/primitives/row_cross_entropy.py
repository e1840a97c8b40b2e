r"""Cross entropy of logits along the last axis: reference, derivatives, kernels.

Contract: ``f(x, target, where, weight, row_scale, label_smoothing=, lse_square_scale=, softcap=)``
gives ``(loss, lse)``, both of the shape of ``x`` without its last axis.

With :math:`y = \mathrm{cap}\tanh(x/\mathrm{cap})` (or x), :math:`t_c` the smoothed target and
:math:`w_c` the class weight, a row costs :math:`\sum_c w_c t_c(\mathrm{lse}-y_c)
+ \zeta\,\mathrm{lse}^2`, times ``row_scale``.

* target: integers in [0, C), or floating probabilities of the shape of ``x``;
* where: boolean, broadcastable to ``x``; classes it removes take no part in the smoothing either;
* a class with positive target that is masked or -inf costs +inf; an empty row costs 0;
* a row with ``row_scale`` 0 has loss and gradient exactly 0, whatever it holds.
"""

from __future__ import annotations

from typing import Any

from anymax._array import Array, arange, is_floating, stop_gradient
from anymax._dispatch import Facts, Kernel, Primitive
from anymax.primitives._masked import exponentials, kept, nonzero, safe_max, select


def _reference(
    xp, x, target, where, weight, row_scale, *, label_smoothing, lse_square_scale, softcap
):
    if row_scale is not None:
        x = _without_slope(xp, x, where, row_scale)
    y = x if softcap is None else _capped(xp, x, where, softcap)
    z, _, s, m, keep = exponentials(xp, y, where, (x.ndim - 1,), 1.0)
    log_s = xp.log(nonzero(xp, s))
    lse = select(xp, s != 0, log_s + m, -xp.inf)
    lse = xp.squeeze(xp.where(m == xp.inf, m, lse), axis=-1)
    t = weighted_target(xp, y, target, where, weight, label_smoothing)
    t_kept = select(xp, keep, t)
    loss = xp.sum(t_kept, axis=-1) * xp.squeeze(log_s, axis=-1) - xp.sum(t_kept * z, axis=-1)
    live = lse != -xp.inf
    if lse_square_scale:
        loss = loss + lse_square_scale * xp.square(select(xp, live, lse))
    hopeless = xp.any((t > 0) & ~keep, axis=-1)
    loss = select(xp, live, loss + _infinite(xp, loss, hopeless))
    if row_scale is None:
        return loss, lse
    counts = row_scale != 0
    return select(xp, counts, select(xp, counts, loss) * row_scale), lse


def _without_slope(xp: Any, x: Array, where: Array | None, row_scale: Array) -> Array:
    """`x` as a constant in rows that count for nothing and hold NaN or inf: 0 * NaN is NaN."""
    m = safe_max(xp, x, kept(xp, x, where), (x.ndim - 1,))
    bad = xp.expand_dims(row_scale == 0, axis=-1) & ~xp.isfinite(m)
    return xp.where(bad, stop_gradient(x), x)


def _capped(xp: Any, x: Array, where: Array | None, cap: float) -> Array:
    """cap * tanh(x / cap), and -inf where masked; a logit of -inf stays masked, too."""
    live = kept(xp, x, where)
    return select(xp, live, cap * xp.tanh(select(xp, live, x) / cap), -xp.inf)


def _infinite(xp: Any, like: Array, at: Array) -> Array:
    return select(xp, at, xp.full_like(like, xp.inf))


def weighted_target(xp, y, target, where, weight, smoothing) -> Array:
    """w_c t_c with the smoothing spread over the classes that `where` leaves."""
    num_classes = y.shape[-1]
    if is_floating(target):
        t = target
    else:
        t = xp.astype(_one_hot(xp, target, num_classes, y), y.dtype)
    if smoothing:
        if where is None:
            t = (1.0 - smoothing) * t + smoothing / max(num_classes, 1)
        else:
            part = xp.astype(xp.broadcast_to(where, y.shape), y.dtype)
            share = smoothing / nonzero(xp, xp.sum(part, axis=-1, keepdims=True))
            t = (1.0 - smoothing) * t + share * part
    return t if weight is None else t * weight


def _one_hot(xp: Any, target: Array, num_classes: int, like: Array) -> Array:
    return xp.expand_dims(target, axis=-1) == arange(xp, num_classes, like, dtype=target.dtype)


def _partials(xp, operands, lse, label_smoothing, lse_square_scale, softcap):
    """d loss / dx and d lse / dx per class, before `row_scale`; zero on masked classes."""
    x, target, where, weight, _ = operands
    y = x if softcap is None else _capped(xp, x, where, softcap)
    keep = y != -xp.inf
    if where is not None:
        keep = keep & where
    n = xp.expand_dims(lse, axis=-1)
    n = select(xp, n != -xp.inf, n)
    _, e, total, _, _ = exponentials(xp, y, where, (x.ndim - 1,), 1.0)
    p = select(xp, keep, e / nonzero(xp, total))  # exp(y - lse) magnifies the rounding of lse
    t = weighted_target(xp, y, target, where, weight, label_smoothing)
    slope = xp.sum(t, axis=-1, keepdims=True)
    if lse_square_scale:
        slope = slope + (2.0 * lse_square_scale) * n
    if softcap is None:
        inner = xp.ones_like(p)
    else:
        inner = 1.0 - xp.square(select(xp, keep, y) / softcap)
    empty = xp.expand_dims(lse == -xp.inf, axis=-1)
    by_loss = select(xp, keep & ~empty, (slope * p - t) * inner)
    return by_loss, select(xp, keep, p * inner)


def _vjp(xp, operands, outputs, cotangents, needs, **options):
    row_scale = operands[4]
    g, g_lse = cotangents
    lse = outputs[1]
    grads: list[Array | None] = [None] * 5
    if g is None:
        g = xp.zeros_like(lse)
    scaled = _scaled(xp, g, row_scale)
    if needs[0]:
        grads[0] = _vjp_logits(xp, operands, lse, scaled, g_lse, options)
    if any(needs[1:]):
        grads[1:] = _vjp_rest(xp, operands, scaled, g, needs, options)
    return tuple(grads)


def _scaled(xp: Any, g: Array, row_scale: Array | None) -> Array:
    if row_scale is None:
        return g
    counts = row_scale != 0
    return select(xp, counts, select(xp, counts, g) * row_scale)


def _vjp_logits(xp, operands, lse, scaled, g_lse, options) -> Array:
    by_loss, by_lse = _partials(xp, operands, lse, **options)
    rows = xp.expand_dims(scaled, axis=-1)
    dead = rows == 0
    dx = select(xp, ~dead, select(xp, ~dead, by_loss) * rows)
    return dx if g_lse is None else dx + by_lse * xp.expand_dims(g_lse, axis=-1)


def _vjp_rest(xp, operands, scaled, g, needs, options) -> list[Array | None]:
    """Gradients of target, where (none), weight and row_scale, from the cost of each class."""
    x, target, where, weight, row_scale = operands
    smoothing, cap = options["label_smoothing"], options["softcap"]
    y = x if cap is None else _capped(xp, x, where, cap)
    z, _, s, _, keep = exponentials(xp, y, where, (x.ndim - 1,), 1.0)
    cost = select(xp, keep, xp.log(nonzero(xp, s)) - z)
    rows = xp.expand_dims(scaled, axis=-1)
    per_class = select(xp, rows != 0, cost * rows)
    out: list[Array | None] = [None] * 4
    if needs[1]:
        grown = per_class if weight is None else per_class * weight
        out[0] = grown * (1.0 - smoothing)
    if needs[3]:
        t = weighted_target(xp, y, target, where, None, smoothing)
        lead = tuple(range(x.ndim - 1))
        out[2] = xp.sum(per_class * t, axis=lead) if lead else per_class * t
    if needs[4]:
        loss, _ = _reference(xp, x, target, where, weight, None, **options)
        out[3] = select(xp, row_scale != 0, g * loss)
    return out


def _jvp(xp, operands, outputs, tangents, **options):
    """Rows are independent, so a row's tangent is its gradient's product with the tangent of x.

    Tangents of the other operands are not offered: forward mode runs the reference.
    """
    by_loss, by_lse = _partials(xp, operands, outputs[1], **options)
    t = select(xp, by_lse != 0, tangents[0])
    loss = xp.sum(by_loss * t, axis=-1)
    return _scaled(xp, loss, operands[4]), xp.sum(by_lse * t, axis=-1)


def _why_not(facts: Facts) -> str | None:
    if facts.dtypes[1] not in ("int32", "int64", facts.dtypes[0]):
        return f"targets have dtype {facts.dtypes[1]}"
    if any(facts.wants[1:]):
        return "a gradient of targets or weights is wanted"
    return None


row_cross_entropy = Primitive(
    "row_cross_entropy",
    _reference,
    _vjp,
    _jvp,
    (False, False),
    (
        Kernel(
            "numba", "anymax._cpu.row_cross_entropy", "forward", "backward", _why_not,
            fused="forward_backward",
        ),
        Kernel("cuda", "anymax._cuda.row_cross_entropy", "forward", "backward", _why_not),
    ),
)  # fmt: skip
