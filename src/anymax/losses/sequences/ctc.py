"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction
from anymax.losses._targets import check_labels
from anymax.primitives._masked import select
from anymax.primitives.ctc import ctc
from anymax.softmaxes._operands import check_count


@form(shapes="logp: ... T C, target: ... U -> ...", cost="O(T U)", primitives=("ctc",))
def ctc_loss(
    logp: Array,
    target: Array,
    /,
    *,
    input_lengths: Array | None = None,
    target_lengths: Array | None = None,
    blank: int = 0,
    zero_infinity: bool = False,
    reduction: str = "mean",
) -> Array:
    r"""Minus the log-probability that frames spell a target, summed over all alignments.

    .. math:: \ell = -\log \sum_{\pi \in B^{-1}(y)} \prod_{t=1}^{T} p_t(\pi_t)

    where B merges repeated labels and then removes blanks.

    Parameters
    ----------
    logp : array (..., T, C)
        Log-probabilities of C classes at T frames.
    target : integer array (..., U)
        Labels, none of them blank.  Padded with -1, or with anything past `target_lengths`;
        broadcasts against the batch axes of `logp`.
    input_lengths : integer array (...), optional
        Frames that count, all of them by default.
    target_lengths : integer array (...), optional
        Labels that count, all that are not -1 by default.
    blank : int
        The class of no label.
    zero_infinity : bool
        Let targets that no alignment spells cost 0 rather than +inf.
    reduction : {"mean", "sum", "none"}
        The mean divides each loss by the length of its target (at least 1), then the sum by the
        number of sequences, as torch does.

    Returns
    -------
    array () or (...)
        The loss, or one per sequence with ``reduction="none"``.

    Raises
    ------
    TypeError
        `logp` is no real array, or `target` or a length holds no integers.
    ValueError
        Shapes do not fit, a length is out of range, `target` holds the blank, or `reduction` is
        unknown.
    IndexError
        `target` holds labels outside [0, C), or `blank` is one.

    Notes
    -----
    torch's loss with the batch first.  The derivative by `logp` is minus the expected visits of
    each class; torch's already holds the derivative of a log-softmax, so that the two agree for
    logits given through :func:`anymax.log_softmax`, not for free log-probabilities.  A target is
    infeasible when there are fewer frames than labels and repetitions; its gradient is 0 (NaN in
    torch), with `zero_infinity` or without.  An empty target costs minus the sum of the blanks.
    NaN in a frame or class that takes no part leaks nowhere.

    The recursion runs in log space with its maximum taken out after every frame: O(T U) time.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp = np.log(np.full((2, 4), 0.25))
    >>> am.ctc_loss(logp, np.asarray([1])) / np.log(16.0 / 3.0)  # "1 1", "- 1", "1 -"
    np.float64(1.0)

    References
    ----------
    .. [1] A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber, "Connectionist temporal
       classification", ICML 2006.
    """
    name = "ctc_loss"
    check_reduction(name, reduction)
    lengths = {"input_lengths": input_lengths, "target_lengths": target_lengths}
    xp = _array.namespace(name, logp=logp, target=target, **lengths)
    _array.required(name, logp=logp, target=target)
    (logp,) = _array.promote(xp, name, logp=logp)
    dtype = logp.dtype
    logp, target, frames, labels = _arranged(xp, name, logp, target, lengths, blank)
    loss = ctc(logp, target, frames, labels, blank=blank.__index__())
    if zero_infinity:
        loss = select(xp, loss != xp.inf, loss)
    return _array.cast(xp, _reduced(xp, loss, labels, reduction), dtype)


def _reduced(xp: Any, loss: Array, labels: Array, reduction: str) -> Array:
    if reduction == "none":
        return loss
    if reduction == "sum":
        return xp.sum(loss)
    length = xp.astype(xp.where(labels > 1, labels, xp.ones_like(labels)), loss.dtype)
    return xp.sum(loss / length) / max(_array.size(loss.shape), 1)


def _arranged(
    xp: Any, name: str, logp: Array, target: Array, lengths: dict, blank: Any
) -> tuple[Array, Array, Array, Array]:
    """Log-probabilities, and labels and lengths of their batch shape, checked."""
    if logp.ndim < 2 or not target.ndim:
        raise ValueError(
            f"{name}: logp has shape {_array.shape_text(logp.shape)} and target "
            f"{_array.shape_text(target.shape)}; (..., T, C) and (..., U) fit"
        )
    blank, classes = check_count(name, "blank", blank, 0), logp.shape[-1]
    if blank >= classes:
        raise IndexError(f"{name}: blank is {blank}; a class fits, 0 to {classes - 1}")
    lead, (t, u) = tuple(logp.shape[:-2]), (logp.shape[-2], target.shape[-1])
    target = _integers(xp, name, "target", target, (*lead, u))
    labels = lengths["target_lengths"]
    if labels is None:
        labels = xp.sum(xp.astype(target != -1, target.dtype), axis=-1, dtype=target.dtype)
    labels = _integers(xp, name, "target_lengths", labels, lead)
    frames = lengths["input_lengths"]
    if frames is None:
        frames = xp.full_like(labels, t)
    frames = _integers(xp, name, "input_lengths", frames, lead)
    _check_lengths(xp, name, "target_lengths", labels, u, "labels")
    _check_lengths(xp, name, "input_lengths", frames, t, "frames")
    real = _array.arange(xp, u, target, target.dtype) < labels[..., None]
    check_labels(xp, name, target, real, classes)
    _check_blank(xp, name, real & (target == blank), blank)
    return logp, target, frames, labels


def _integers(xp: Any, function: str, name: str, x: Array, shape: tuple) -> Array:
    if _array.is_scalar(x) or not _array.is_integer(x):
        kind = type(x).__name__ if _array.is_scalar(x) else _array.dtype_name(x)
        raise TypeError(f"{function}: {name} is {kind}; an integer array fits")
    _array.check_broadcast(function, name, x, shape, "the batch")
    return xp.broadcast_to(_array.as_index(xp, x), shape)


def _check_lengths(xp: Any, function: str, name: str, x: Array, most: int, what: str) -> None:
    if not _array.values_known(x) or 0 in x.shape:
        return
    low, high = xp.min(x), xp.max(x)
    if _array.values_known(low, high) and (int(low) < 0 or int(high) > most):
        wrong = int(low) if int(low) < 0 else int(high)
        raise ValueError(
            f"{function}: {name} holds {wrong}; there are {most} {what}, 0 to {most} fit"
        )


def _check_blank(xp: Any, function: str, wrong: Array, blank: int) -> None:
    if not _array.values_known(wrong):
        return
    found = xp.any(wrong)
    if _array.values_known(found) and bool(found):
        raise ValueError(f"{function}: target holds {blank}, the blank; other labels fit")
