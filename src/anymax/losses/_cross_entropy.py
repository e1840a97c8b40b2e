"""From costs of examples to the result of a cross entropy: what each counts, and means over it."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses._reduction import mean_over
from anymax.losses._targets import check_labels
from anymax.softmaxes._operands import beside_tape


class Counts(NamedTuple):
    """What each example counts.

    Parameters
    ----------
    target : integer array (...) or floating array (..., C)
        Class indices, 0 for ignored ones, or probabilities.
    class_weight : array (C,) or None
        Class weights.
    row_weight : array (...) or None
        0 for ignored examples, 1 for others; None where all count.
    valid : boolean array (...) or None
        The same as a mask.
    """

    xp: Any
    target: Array
    class_weight: Array | None
    row_weight: Array | None
    valid: Array | None

    def weights(self, like: Array) -> Array:
        """What each example counts in the mean, before empty rows are left out."""
        xp = self.xp
        if self.class_weight is None or _array.is_floating(self.target):
            return xp.ones_like(like) if self.row_weight is None else self.row_weight
        each = _array.take(xp, xp.astype(self.class_weight, like.dtype), self.target)
        return each if self.row_weight is None else each * self.row_weight

    def reduced(self, loss: Array, lse: Array, reduction: str) -> Array:
        """Weighted costs of examples, of which lse says whether they have a class, as a result."""
        xp = self.xp
        if reduction == "none":
            return loss
        total = xp.sum(loss)
        if reduction == "sum":
            return total
        if self.class_weight is None and self.valid is None and _all_live(xp, lse):
            return total / _array.size(loss.shape)
        counts = self.weights(loss)
        return mean_over(xp, total, xp.sum(xp.where(lse != -xp.inf, counts, xp.zeros_like(counts))))

    def square_term(self, lse: Array, scale: float, reduction: str) -> Array:
        """The PaLM term, which is averaged without class weights."""
        xp = self.xp
        part = lse != -xp.inf
        part = part if self.valid is None else part & self.valid
        square = scale * xp.square(xp.where(part, lse, xp.zeros_like(lse)))
        if reduction == "none":
            return square
        total = xp.sum(square)
        if reduction == "sum":
            return total
        return mean_over(xp, total, xp.sum(xp.astype(part, lse.dtype)))

    def expected_cotangent(self, rows: Array, reduction: str) -> float | None:
        """What each example's loss will be multiplied by if the result is differentiated as it is.

        `rows` has the shape of the losses, and a floating dtype.
        """
        if reduction == "sum":
            return 1.0
        if reduction == "none" or not _array.cheap_values(rows) or 0 in rows.shape:
            return None
        if self.class_weight is None and self.row_weight is None:
            count = float(_array.size(rows.shape))
        else:
            count = float(_array.stop_gradient(self.xp.sum(self.weights(rows))))
        return 1.0 / count if count else None


def counted(
    xp: Any,
    function: str,
    target: Array,
    class_weight: Array | None,
    ignore_index: int,
    num_classes: int,
    dtype: Any,
    where: Array | None = None,
) -> Counts:
    """What class indices count, checked; ignored ones are replaced by 0 and given weight 0.

    So are those of examples to which `where`, broadcastable to (..., C), leaves no class.
    """
    target = _array.as_index(xp, target)
    if _all_valid(xp, target, ignore_index, num_classes):
        return Counts(xp, target, class_weight, None, None)
    valid = target != ignore_index
    if where is not None and where.ndim:
        target = beside_tape(xp, target)
        valid = beside_tape(xp, valid) & xp.any(where, axis=-1)
    check_labels(xp, function, target, valid, num_classes, "ignore_index")
    target = xp.where(valid, target, xp.zeros_like(target))
    if _array.values_known(valid) and bool(xp.all(valid)):
        return Counts(xp, target, class_weight, None, None)
    return Counts(xp, target, class_weight, xp.astype(valid, dtype), valid)


def _all_valid(xp: Any, target: Array, ignore_index: int, num_classes: int) -> bool:
    """Whether two cheap looks show that every label counts and is a class."""
    if not _array.cheap_values(target) or 0 in target.shape or 0 <= ignore_index < num_classes:
        return False
    return int(xp.min(target)) >= 0 and int(xp.max(target)) < num_classes


def _all_live(xp: Any, lse: Array) -> bool:
    """Whether a cheap look shows that no example is empty, so that the mean is over all of them."""
    if not _array.cheap_values(lse) or 0 in lse.shape:
        return False
    return bool(xp.all(lse != -xp.inf))
