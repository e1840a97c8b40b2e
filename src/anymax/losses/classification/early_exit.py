"""Cross entropy of a model that may stop early, at every exit."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import Classes, class_axis, class_last, classes
from anymax.losses._reduction import mean_over
from anymax.losses._targets import check_smoothing, check_target
from anymax.losses.classification._costs import beside, cross_entropies
from anymax.primitives._masked import select
from anymax.softmaxes._operands import beside_tape, times


@form(
    shapes="logits: E N C, target: N -> ",
    papers=("2410.20672",),
    cost="O(n)",
    primitives=("row_cross_entropy",),
)
def early_exit_cross_entropy(
    logits: Array,
    target: Array,
    /,
    *,
    exit_weight: str | Array = "linear",
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Array:
    r"""Weighted sum of the cross entropies of all exits (multi-exit, deep supervision).

    .. math:: \ell = \sum_{i=1}^E\alpha_i\,\mathrm{CE}(x_i, y),\qquad
              \text{linear: } \alpha_i = \frac{i}{\sum_j j},\quad
              \text{aggressive: } \alpha_E = 1,\ \alpha_{i<E} = 0.1

    Parameters
    ----------
    logits : array (E, ..., C)
        Unnormalised log-probabilities, exits first, in their order; the C classes on `axis` (with
        0, exits are second).
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities, shared by all exits; the classes keep their place among
        the axes that are left.
    exit_weight : "linear", "aggressive" or array (E,)
        The weights :math:`\alpha`; an array is differentiated too.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array (C,)
        Class weights.
    ignore_index : int
        Examples with this label are left out.  For integer targets only.
    label_smoothing : float
        The share of the target spread evenly over the classes, in [0, 1].
    reduction : {"mean", "sum", "none"}
        The mean is taken at each exit, as :func:`anymax.cross_entropy` does.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses, summed over exits, with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; exit weights of another shape.

    Notes
    -----
    An exit of weight 0 costs nothing, even if its loss is infinite.  The two weightings are
    as remembered from the paper; pass an array to be sure.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.log(np.asarray([[[0.5, 0.5]], [[0.25, 0.75]]]))
    >>> am.early_exit_cross_entropy(logits, np.asarray([1]), exit_weight=np.asarray([0.0, 1.0]))
    np.float64(0.2876820724517809)
    >>> round(float(am.early_exit_cross_entropy(logits, np.asarray([1]))), 6)
    0.422837

    References
    ----------
    .. [1] S. Bae, A. Fisch, H. Harutyunyan, Z. Ji, S. Kim, T. Schuster, "Relaxed Recursive
       Transformers: Effective Parameter Sharing with Layer-wise LoRA", ICLR 2025.
       arXiv:2410.20672.
    """
    name = "early_exit_cross_entropy"
    smoothing = check_smoothing(name, label_smoothing)
    _array.required(name, logits=logits, target=target)
    if isinstance(exit_weight, str):
        alpha: Any = _named(name, exit_weight)(_num_exits(name, logits, axis))
    else:
        logits, alpha = beside(name, logits, exit_weight=exit_weight)
    c = _exits(name, logits, target, axis, where, weight, ignore_index, reduction)
    alpha = _aligned(name, c, alpha)
    loss = cross_entropies(c, smoothing=smoothing, weighted=True)
    loss = select(c.xp, c.live, loss)
    if reduction == "none":
        y = c.xp.sum(times(c.xp, alpha, loss), axis=0)
    else:
        y = c.xp.sum(times(c.xp, alpha, loss if reduction == "sum" else _means(c, loss)))
    return _array.cast(c.xp, y, c.dtype)


def _linear(n: int) -> list[float]:
    return [2.0 * (i + 1) / (n * (n + 1)) for i in range(n)]


def _aggressive(n: int) -> list[float]:
    return [0.1] * (n - 1) + [1.0]


def _named(function: str, kind: str) -> Any:
    kinds = {"linear": _linear, "aggressive": _aggressive}
    if kind not in kinds:
        raise ValueError(
            f"{function}: exit_weight is {kind!r}; 'linear', 'aggressive' or an array fits"
        )
    return kinds[kind]


def _num_exits(function: str, logits: Array, axis: int) -> int:
    axis = class_axis(function, axis, logits.ndim)
    if logits.ndim < 2:
        raise ValueError(f"{function}: logits have 1 axis; exits and classes are needed")
    return logits.shape[1 if axis == 0 else 0]


def _exits(function, logits, target, axis, where, weight, ignore_index, reduction) -> Classes:
    """The classes of all exits: the target, which they share, repeated."""
    xp = _array.namespace(function, logits=logits, target=target, where=where, weight=weight)
    _num_exits(function, logits, axis)
    axis = class_axis(function, axis, logits.ndim)
    _array.check_mask(function, "where", where, logits.shape, "logits")
    full = tuple(logits.shape)
    if where is not None:
        where = class_last(xp, xp.broadcast_to(where, full), axis)
    one = full[1:] if axis else (full[0], *full[2:])
    inner = max(axis - 1, 0)
    labels = check_target(function, target, one[:inner] + one[inner + 1 :], one)
    logits = class_last(xp, logits, axis)
    target = beside_tape(xp, target if labels else class_last(xp, target, inner))
    target = xp.broadcast_to(target[None, ...], (logits.shape[0], *target.shape))
    return classes(
        function, logits, target, where=where, weight=weight,
        ignore_index=ignore_index if labels else None, reduction=reduction,
    )  # fmt: skip


def _aligned(function: str, c: Classes, alpha: Any) -> Array:
    """Exit weights as an array with the axes of the losses."""
    xp, n = c.xp, c.logits.shape[0]
    if isinstance(alpha, list):
        alpha = xp.asarray(alpha, dtype=c.logits.dtype, device=_array.device(c.logits))
    elif _array.is_scalar(alpha) or tuple(alpha.shape) != (n,):
        came = repr(alpha) if _array.is_scalar(alpha) else _array.shape_text(alpha.shape)
        raise ValueError(f"{function}: exit_weight is {came}; one number an exit fits, ({n},)")
    alpha = _array.cast(xp, beside_tape(xp, alpha), c.logits.dtype)
    return xp.reshape(alpha, (n, *(1,) * (c.logits.ndim - 2)))


def _means(c: Classes, loss: Array) -> Array:
    """The mean of each exit, with axes of size 1 for the rest."""
    count = c.xp.ones_like(loss)
    if c.labels and c.weight is not None:
        count = c.xp.sum(c.probabilities() * c.weight, axis=-1)
    rest = tuple(range(1, loss.ndim))
    if not rest:
        return mean_over(c.xp, loss, select(c.xp, c.live, count))
    total = c.xp.sum(loss, axis=rest, keepdims=True)
    return mean_over(c.xp, total, c.xp.sum(select(c.xp, c.live, count), axis=rest, keepdims=True))
