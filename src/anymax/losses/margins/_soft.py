"""Binary cross entropy of each class, averaged over classes."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax.losses._classes import check_class_weight, class_axis, class_last
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses.margins._hinges import count_of
from anymax.primitives._masked import select
from anymax.softmaxes._operands import operands
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid


def soft_margin(
    logits: Array,
    target: Array,
    axis: int,
    where: Array | None,
    weight: Array | None,
    reduction: str,
) -> Array:
    """See :func:`anymax.multilabel_soft_margin_loss`."""
    name = "multilabel_soft_margin_loss"
    check_reduction(name, reduction)
    xp = _array.namespace(name, logits=logits, target=target, where=where, weight=weight)
    _array.required(name, logits=logits, target=target)
    axis = class_axis(name, axis, logits.ndim)
    _check_target(name, target, logits)
    _array.check_mask(name, "where", where, logits.shape, "logits")
    if _array.is_bool(target):
        target = xp.astype(target, _array.float_dtype(xp, (logits,)))
    given = operands(name, logits=logits, target=target, weight=weight)
    x, t, w = given.arrays
    check_class_weight(name, w, logits.shape[axis])
    x, t = class_last(xp, x, axis), class_last(xp, t, axis)
    keep = xp.ones_like(x) == 1
    if where is not None:
        keep = class_last(xp, xp.broadcast_to(where, tuple(logits.shape)), axis)
    loss = _binary(xp, select(xp, keep, x), select(xp, keep, t))
    if w is not None:
        counts = keep & (w != 0)
        loss = select(xp, counts, loss) * w
    loss = xp.sum(select(xp, keep, loss), axis=-1) / count_of(xp, keep, x)
    return given.finish(reduced(xp, loss, reduction, live=xp.any(keep, axis=-1)))


def _check_target(name: str, target: Array, logits: Array) -> None:
    if not (_array.is_bool(target) or _array.is_floating(target)):
        raise TypeError(
            f"{name}: target has dtype {_array.dtype_name(target)}; a boolean dtype (which classes "
            "are right) or a floating one (probabilities) fits"
        )
    if tuple(target.shape) != tuple(logits.shape):
        raise ValueError(
            f"{name}: target has shape {_array.shape_text(target.shape)}; the shape of the logits, "
            f"{_array.shape_text(logits.shape)}, fits"
        )


def _binary(xp, x: Array, t: Array) -> Array:
    """Binary cross entropy of log-odds, with 0 * inf = 0."""
    yes, no = log_sigmoid(xp, x), log_sigmoid(xp, -x)
    yes = select(xp, (t != 0) | (yes != -xp.inf), yes)
    no = select(xp, (t != 1) | (no != -xp.inf), no)
    return -(t * yes + (1 - t) * no)
