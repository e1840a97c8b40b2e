"""Class targets: what their dtype means, and whether they fit the logits."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array


def check_target(
    function: str, target: Array, rows: tuple, full: tuple, *, soft: bool = True
) -> bool:
    """Whether targets are class indices (shape `rows`) rather than probabilities (shape `full`).

    Without `soft` they have to be.
    """
    if _array.is_integer(target):
        wanted, what = rows, "class indices have the shape of the logits without the class axis"
    elif soft and _array.is_floating(target):
        wanted, what = full, "probabilities have the shape of the logits"
    else:
        raise TypeError(
            f"{function}: target has dtype {_array.dtype_name(target)}; an integer dtype (class "
            f"indices){' or a floating one (probabilities)' if soft else ''} fits"
        )
    if tuple(target.shape) != tuple(wanted):
        raise ValueError(
            f"{function}: target has shape {_array.shape_text(target.shape)} and dtype "
            f"{_array.dtype_name(target)}; {what}, {_array.shape_text(wanted)}"
        )
    return wanted is rows


def check_labels(
    xp: Any, function: str, target: Array, valid: Array, num_classes: int, also: str = ""
) -> None:
    """Complain about labels outside [0, num_classes), where values can be looked at.

    `also` names what else would have fit.
    """
    if not _array.values_known(target) or 0 in target.shape:
        return
    wrong = valid & ((target < 0) | (target >= num_classes))
    found = xp.any(wrong)
    if _array.values_known(found) and bool(found):  # known labels inside jax.jit: found is traced
        label = int(xp.max(xp.where(wrong, xp.abs(target), xp.zeros_like(target))))
        sign = "" if bool(xp.any(wrong & (target == label))) else "-"
        raise IndexError(
            f"{function}: target holds the label {sign}{label}, but there are {num_classes} "
            f"classes; labels 0 to {num_classes - 1} fit{also and ', and ' + also}"
        )


def check_smoothing(function: str, label_smoothing: float) -> float:
    """The smoothing as a float, refused outside [0, 1]."""
    if not isinstance(label_smoothing, str) and 0.0 <= float(label_smoothing) <= 1.0:
        return float(label_smoothing)
    raise ValueError(
        f"{function}: label_smoothing is {label_smoothing!r}; a number from 0 to 1 fits"
    )


def check_alike(function: str, first: str, x: Array, second: str, y: Array) -> None:
    """Complain unless two arrays have one shape: (N, 1) beside (N,) is a mistake, not a table."""
    _array.required(function, **{first: x, second: y})
    shapes = tuple(x.shape), tuple(y.shape)
    known = all(n == n for shape in shapes for n in shape)  # dask has unknown sizes, NaN
    if shapes[0] != shapes[1] and known:
        raise ValueError(
            f"{function}: {first} has shape {_array.shape_text(x.shape)} and {second} "
            f"{_array.shape_text(y.shape)}; they must match"
        )


def multi_hot(
    xp: Any, function: str, target: Array, shape: tuple, where: Array | None = None
) -> Array:
    """Boolean (..., C) from a boolean target, or from lists of classes padded with -1.

    `shape` is that of the logits with the classes last; so are the target's and the mask's.
    """
    num_classes = shape[-1]
    if _array.is_bool(target):
        _array.check_broadcast(function, "target", target, shape, "logits")
        return xp.broadcast_to(target, shape)
    if not _array.is_integer(target):
        raise TypeError(
            f"{function}: target has dtype {_array.dtype_name(target)}; boolean (multi-hot) or "
            "integer (lists of classes, padded with -1) fits"
        )
    if tuple(target.shape[:-1]) != tuple(shape[:-1]) or target.ndim != len(shape):
        raise ValueError(
            f"{function}: target has shape {_array.shape_text(target.shape)}; lists of classes, "
            f"(..., K) beside logits of shape {_array.shape_text(shape)}, fit"
        )
    target = _array.as_index(xp, target)
    valid = target != -1
    if where is not None:  # the lists of examples that are dropped may hold anything
        valid = xp.logical_and(valid, xp.any(where, axis=-1, keepdims=True))
    check_labels(xp, function, target, valid, num_classes, "-1")
    hot = target[..., None] == _array.arange(xp, num_classes, target, dtype=target.dtype)
    return xp.any(hot, axis=-2)


def signed(xp: Any, function: str, target: Array, dtype: Any, where: Array | None = None) -> Array:
    """Binary targets as -1 and +1: booleans are turned into them, other values are refused.

    Where `where`, of the target's shape, is False they may hold anything.
    """
    if _array.is_bool(target):
        return 2 * xp.astype(target, dtype) - 1
    target = _array.cast(xp, target, dtype)
    if _array.values_known(target) and 0 not in target.shape:
        good = (target == 1) | (target == -1)
        good = xp.all(good if where is None else xp.logical_or(good, ~where))
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{function}: target holds values other than -1 and 1, or booleans")
    return target
