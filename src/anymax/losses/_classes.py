"""Losses on classes: logits with the classes last, their targets, and what takes part."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses._targets import check_labels, check_target
from anymax.primitives._masked import kept, select
from anymax.primitives._selection import one_hot
from anymax.primitives.row_softmax import row_log_softmax, row_softmax
from anymax.softmaxes._operands import beside_tape


class Classes(NamedTuple):
    """Logits in float32 or wider, classes last, and what the targets say.

    Parameters
    ----------
    logits : array (..., C)
        0 where nothing takes part, so that nothing there is computed with.
    keep : boolean array (..., C)
        What takes part: allowed by ``where``, not -inf, in a row whose label is not ignored.
    target : integer array (...) or floating array (..., C)
        Class indices, 0 for ignored ones, or probabilities.
    weight : array (C,) or None
        Class weights.
    dtype
        Dtype of the result.
    where : boolean array (..., C) or None
        The caller's mask: which classes there are at all.
    """

    xp: Any
    logits: Array
    keep: Array
    target: Array
    weight: Array | None
    dtype: Any
    where: Array | None

    @property
    def labels(self) -> bool:
        """Whether targets are class indices rather than probabilities."""
        return not _array.is_floating(self.target)

    @property
    def live(self) -> Array:
        """Examples (...) in which some class takes part; others cost 0 and count for nothing."""
        return self.xp.any(self.keep, axis=-1)

    @property
    def hopeless(self) -> Array:
        """Live examples (...) with weight on a class that takes no part: its probability is 0."""
        return self.live & self.xp.any((self.probabilities() > 0) & ~self.keep, axis=-1)

    def probabilities(self) -> Array:
        """Targets (..., C) as probabilities: one-hot rows for class indices."""
        if not self.labels:
            return self.target
        return one_hot(self.xp, self.target, self.logits.shape[-1], -1, self.logits.dtype)

    def at_target(self, y: Array) -> Array:
        """Expectation (...) under the targets of `y` (..., C), over the classes that take part."""
        t = self.probabilities()
        part = self.keep & (t != 0)
        return self.xp.sum(select(self.xp, part, select(self.xp, part, y) * t), axis=-1)

    def log_softmax(self) -> Array:
        """Log-probabilities (..., C), 0 in the place of -inf where nothing takes part."""
        axis = (self.logits.ndim - 1,)
        y = row_log_softmax(self.logits, self.keep, axis=axis, scale=1.0)
        return select(self.xp, self.keep, y)

    def softmax(self) -> Array:
        """Probabilities (..., C), 0 where nothing takes part."""
        return row_softmax(self.logits, self.keep, axis=(self.logits.ndim - 1,), scale=1.0)

    def finish(self, loss: Array, reduction: str, *, infinite: bool = True) -> Array:
        """The result of per-example losses (...), weighted by the weights of their targets.

        With `infinite`, a target on a class that takes no part costs +inf.
        """
        xp = self.xp
        if infinite:
            loss = loss + select(xp, self.hopeless, xp.full_like(loss, xp.inf))
        weight = self.weight
        if weight is not None:
            t = self.probabilities()
            if self.where is not None and not self.labels:
                t = select(xp, self.where, t)  # masked ones may hold NaN
            weight = xp.sum(t * weight, axis=-1)
        y = reduced(xp, loss, reduction, live=self.live, weight=weight)
        return _array.cast(xp, y, self.dtype)


def classes(
    function: str,
    logits: Array,
    target: Array,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
    soft: bool = True,
) -> Classes:
    """Check, promote and arrange the arguments of a loss on classes.

    Without `soft` targets have to be class indices.
    """
    check_reduction(function, reduction)
    xp = _array.namespace(function, logits=logits, target=target, where=where, weight=weight)
    _array.required(function, logits=logits, target=target)
    axis = class_axis(function, axis, logits.ndim)
    _array.check_mask(function, "where", where, logits.shape, "logits")
    rows = tuple(n for a, n in enumerate(logits.shape) if a != axis)
    labels = check_target(function, target, rows, logits.shape, soft=soft)
    logits, soft, weight = _array.promote(
        xp, function, logits=logits, target=None if labels else target, weight=weight
    )
    dtype = logits.dtype
    check_class_weight(function, weight, logits.shape[axis])
    weight = None if weight is None else beside_tape(xp, _array.widen(xp, weight))
    full = tuple(logits.shape)
    logits = beside_tape(xp, _array.widen(xp, class_last(xp, logits, axis)))
    if where is not None:
        where = class_last(xp, xp.broadcast_to(where, full), axis)
    keep = kept(xp, logits, where)
    if labels:
        target = _array.as_index(xp, target)
        valid = xp.ones_like(target) == 1 if ignore_index is None else target != ignore_index
        if where is not None:  # the label of an example that is dropped may be anything
            valid = xp.logical_and(valid, xp.any(where, axis=-1))  # either may be under the tape
        also = "" if ignore_index is None else "ignore_index"
        check_labels(xp, function, target, valid, logits.shape[-1], also)
        keep = keep & valid[..., None]
        target = xp.where(valid, target, xp.zeros_like(target))
    else:
        target = beside_tape(xp, _array.widen(xp, class_last(xp, soft, axis)))
    return Classes(xp, select(xp, keep, logits), keep, target, weight, dtype, where)


def class_axis(function: str, axis: Any, ndim: int) -> int:
    """`axis` as a non-negative int; a loss has one axis of classes."""
    if not hasattr(axis, "__index__"):
        raise TypeError(f"{function}: axis is {axis!r}; an int fits, the one axis of the classes")
    if not ndim:
        raise ValueError(f"{function}: logits have 0 axes; at least 1 is needed, the classes")
    return _array.axes(function, axis, ndim)[0]


def class_last(xp: Any, x: Array, axis: int) -> Array:
    """`x` with its axis of classes last."""
    return x if axis == x.ndim - 1 else xp.moveaxis(x, axis, -1)


def check_class_weight(function: str, weight: Array | None, num_classes: int) -> None:
    if weight is not None and tuple(weight.shape) != (num_classes,):
        raise ValueError(
            f"{function}: weight has shape {_array.shape_text(weight.shape)}; "
            f"one weight per class fits, ({num_classes},)"
        )


def flat_mask(xp: Any, where: Array, rows: tuple) -> Array:
    """(1 or N, 1 or V): a mask of the shape of the logits is the only one that is as large."""
    last = where.shape[-1] if where.ndim else 1
    if _array.size(where.shape[:-1]) == 1:
        return xp.reshape(where, (1, last))
    return xp.reshape(xp.broadcast_to(where, (*rows, last)), (_array.size(rows), last))
