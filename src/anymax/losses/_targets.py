"""Class targets: what their dtype means, and whether they fit the logits."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array


def check_target(function: str, target: Array, rows: tuple, full: tuple) -> bool:
    """Whether targets are class indices (shape `rows`) rather than probabilities (shape `full`)."""
    if _array.is_integer(target):
        wanted, what = rows, "class indices have the shape of the logits without the class axis"
    elif _array.is_floating(target):
        wanted, what = full, "probabilities have the shape of the logits"
    else:
        raise TypeError(
            f"{function}: target has dtype {_array.dtype_name(target)}; "
            "an integer dtype (class indices) or a floating one (probabilities) fits"
        )
    if tuple(target.shape) != tuple(wanted):
        raise ValueError(
            f"{function}: target has shape {_array.shape_text(target.shape)} and dtype "
            f"{_array.dtype_name(target)}; {what}, {_array.shape_text(wanted)}"
        )
    return wanted is rows


def check_labels(xp: Any, function: str, target: Array, valid: Array, num_classes: int) -> None:
    """Complain about labels outside [0, num_classes), where values can be looked at."""
    if not _array.values_known(target) or 0 in target.shape:
        return
    wrong = valid & ((target < 0) | (target >= num_classes))
    found = xp.any(wrong)
    if _array.values_known(found) and bool(found):  # known labels inside jax.jit: found is traced
        label = int(xp.max(xp.where(wrong, xp.abs(target), xp.zeros_like(target))))
        sign = "" if bool(xp.any(wrong & (target == label))) else "-"
        raise IndexError(
            f"{function}: target holds the label {sign}{label}, but there are {num_classes} "
            f"classes; labels 0 to {num_classes - 1} fit, and ignore_index"
        )
