"""Losses of nested classes that share one logit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._elements import elements
from anymax.losses._reduction import reduced
from anymax.losses._targets import check_labels
from anymax.softmaxes.structured._levels import (
    count_levels,
    log1mexp,
    parameter,
    threshold,
)
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid, sigmoid

_PAPERS = ("1810.09488", "1804.01910")
_SHAPES = "x: ..., target: ... -> "


@form(shapes=_SHAPES, papers=_PAPERS, cost="O(n) a level")
def multi_level_quadratic_loss(
    x: Array,
    target: Array,
    /,
    *,
    num_levels: int,
    steepness: float | Array = 10.0,
    spacing: float | Array = 0.5,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Squared distance of the multi-level activation from the level of the target.

    .. math:: \ell = w_y\,(a(x) - y)^2, \qquad
        a(x) = \sum_{i=1}^{n} \sigma\Big(k\,\big(x + h\,(i - \tfrac{n+1}{2})\big)\Big)

    Parameters
    ----------
    x : array (...)
        One logit an element, e.g. a voxel.
    target : integer array (...)
        Levels y from 0, the background, to n.
    num_levels : int
        n, the number of foreground classes, each nested in the one before.
    steepness : float or array, broadcastable to `x`
        k, how sharp the steps are; positive.  An array is differentiated too.
    spacing : float or array, broadcastable to `x`
        h, the distance of the steps; positive.
    where : boolean array, broadcastable to `x`
        True where an element counts.
    weight : array (n + 1,)
        Weight of each level, e.g. larger for rare ones.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the elements' weights.

    Returns
    -------
    array () or (...)
        A scalar, or the loss of each element with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.multi_level_activation`; `target` is not integer, or a shape does not fit.
    IndexError
        A target outside [0, n], where it counts (on arrays whose values are at hand).

    Notes
    -----
    The gradient :math:`2 w_y (a - y)\,a'(x)` vanishes on the stairs, far from the target's step
    too; :func:`anymax.multi_level_cross_entropy` does not have this.  The values of `steepness` and
    `spacing` are those remembered of [2]_, not confirmed for [1]_.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.asarray([0.0, 0.0, 2.0]), np.asarray([1, 0, 2])
    >>> am.multi_level_quadratic_loss(x, y, num_levels=2, reduction="none").round(6)
    array([0., 1., 0.])

    References
    ----------
    .. [1] X. Hu, H. Li, Y. Zhao, C. Dong, B. H. Menze, M. Piraud, "Hierarchical multi-class
       segmentation of glioma images using networks with multi-level activation function", BrainLes
       2018, arXiv:1810.09488.
    .. [2] M. Piraud, A. Sekuboyina, B. H. Menze, "Multi-level activation for segmentation of
       hierarchically-nested classes", ECCV workshops 2018, arXiv:1804.01910.
    """
    name = "multi_level_quadratic_loss"
    case = _prepared(name, x, target, num_levels, steepness, spacing, where, weight, reduction)
    xp, miss = case.xp, case.xp.zeros_like(case.x)
    for j, u in _steps(case):  # a - y, step by step, as their difference would lose its digits
        missed = case.target >= j
        gap = sigmoid(xp, xp.where(missed, -u, u))
        miss = miss + xp.where(missed, -gap, gap)
    return _finish(case, miss * miss, reduction)


@form(shapes=_SHAPES, papers=_PAPERS, cost="O(n)")
def multi_level_cross_entropy(
    x: Array,
    target: Array,
    /,
    *,
    num_levels: int,
    steepness: float | Array = 10.0,
    spacing: float | Array = 0.5,
    kind: str = "ordered",
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Surprise of the target's level, given one logit for all nested classes.

    .. math:: \ell_{ordered} = -w_y \log(s_y - s_{y+1}), \qquad
        \ell_{binary} = -w_y \sum_{j=1}^{n} \log\begin{cases} s_j & j \le y\\ 1 - s_j & j > y
        \end{cases}

    where :math:`s_j = \sigma(k(x - t_j))`, :math:`t_j = h\,(j - \frac{n+1}{2})`, :math:`s_0 = 1`
    and :math:`s_{n+1} = 0`.

    Parameters
    ----------
    x : array (...)
        One logit an element, e.g. a voxel.
    target : integer array (...)
        Levels y from 0, the background, to n.
    num_levels : int
        n, the number of foreground classes, each nested in the one before.
    steepness : float or array, broadcastable to `x`
        k, how sharp the steps are; positive.  An array is differentiated too.
    spacing : float or array, broadcastable to `x`
        h, the distance of the steps; positive.
    kind : {"ordered", "binary"}
        Surprise of the one level under the ordered logit, or the sum of those of all n questions
        "at least level j?".
    where : boolean array, broadcastable to `x`
        True where an element counts.
    weight : array (n + 1,)
        Weight of each level, e.g. larger for rare ones.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the elements' weights.

    Returns
    -------
    array () or (...)
        A scalar, or the loss of each element with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.multi_level_quadratic_loss`; `kind` is unknown.

    Notes
    -----
    Neither kind is confirmed as the papers' "modified" or "normalised" cross entropy, whose
    formulas could not be found; both are proper losses of the model that the multi-level activation
    is the mean of.  The kind "ordered" looks at two steps only, whatever n, and no difference of
    sigmoids is formed.  Its gradient is :math:`k\,(s_y + s_{y+1} - 1)`, that of "binary"
    :math:`k \sum_j (s_j - [y \ge j])`; both are of size k where the logit is very wrong.  The
    values of `steepness` and `spacing` are those remembered of [2]_, not confirmed for [1]_.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.asarray([0.0, 2.0, 2.0]), np.asarray([1, 2, 0])
    >>> am.multi_level_cross_entropy(x, y, num_levels=2, reduction="none").round(6)
    array([ 0.16454,  0.     , 22.5    ])

    References
    ----------
    .. [1] X. Hu, H. Li, Y. Zhao, C. Dong, B. H. Menze, M. Piraud, "Hierarchical multi-class
       segmentation of glioma images using networks with multi-level activation function", BrainLes
       2018, arXiv:1810.09488.
    .. [2] M. Piraud, A. Sekuboyina, B. H. Menze, "Multi-level activation for segmentation of
       hierarchically-nested classes", ECCV workshops 2018, arXiv:1804.01910.
    """
    name = "multi_level_cross_entropy"
    if kind not in ("ordered", "binary"):
        raise ValueError(f"{name}: kind is {kind!r}; 'ordered' or 'binary' fits")
    case = _prepared(name, x, target, num_levels, steepness, spacing, where, weight, reduction)
    loss = _ordered(case) if kind == "ordered" else _binary(case)
    return _finish(case, loss, reduction)


class _Case(NamedTuple):
    """Logits and levels of one shape; both harmless where nothing counts."""

    xp: Any
    x: Array
    target: Array
    n: int
    steepness: Array | float
    spacing: Array | float
    where: Array | None
    weight: Array | None
    dtype: Any


def _prepared(
    function: str, x: Array, target: Array, num_levels: int, steepness: Any, spacing: Any,
    where: Array | None, weight: Array | None, reduction: str,
) -> _Case:  # fmt: skip
    _array.required(function, x=x, target=target)
    n = count_levels(function, num_levels)
    given = {"steepness": steepness, "spacing": spacing}
    xp = _array.namespace(function, x=x, target=target, where=where, weight=weight, **given)
    if not _array.is_integer(target):
        raise TypeError(
            f"{function}: target has dtype {_array.dtype_name(target)}; an integer dtype, levels "
            f"from 0 to {n}, fits"
        )
    if tuple(target.shape) != tuple(x.shape):
        raise ValueError(
            f"{function}: target has shape {_array.shape_text(target.shape)}, x has "
            f"{_array.shape_text(x.shape)}; they must match"
        )
    if weight is not None and tuple(weight.shape) != (n + 1,):
        raise ValueError(
            f"{function}: weight has shape {_array.shape_text(weight.shape)}; "
            f"one weight per level fits, ({n + 1},)"
        )
    x, weight, k, h = _array.promote(xp, function, x=x, weight=weight, **given)
    for word, value in (("steepness", k), ("spacing", h)):
        if value is not None and not _array.is_scalar(value):
            _array.check_broadcast(function, word, value, x.shape, "x")
    e = elements(function, where=where, reduction=reduction, fill=1.0, x=x, steepness=k, spacing=h)
    x, k, h = e.arrays
    k, h = (parameter(xp, function, w, v, x) for w, v in (("steepness", k), ("spacing", h)))
    target = _array.as_index(xp, target)
    valid = xp.ones_like(target) == 1 if e.where is None else e.where
    check_labels(xp, function, target, valid, n + 1)
    target = xp.where(valid, target, xp.zeros_like(target))
    weight = None if weight is None else _array.take(xp, _array.widen(xp, weight), target)
    return _Case(xp, x, target, n, k, h, e.where, weight, e.dtype)


def _finish(case: _Case, loss: Array, reduction: str) -> Array:
    y = reduced(case.xp, loss, reduction, live=case.where, weight=case.weight)
    return _array.cast(case.xp, y, case.dtype)


def _ordered(case: _Case) -> Array:
    xp, k, n = case.xp, case.steepness, case.n
    level = _array.cast(xp, case.target, case.x.dtype)
    zero = xp.zeros_like(case.x)
    lower = k * (case.x - threshold(level, n, case.spacing))
    upper = k * (case.x - threshold(level + 1.0, n, case.spacing))
    first, last = case.target == 0, case.target == n
    at_least = xp.where(first, zero, log_sigmoid(xp, xp.where(first, zero, lower)))
    below = xp.where(last, zero, log_sigmoid(xp, xp.where(last, zero, -upper)))
    gap = xp.where(first | last, zero, log1mexp(xp, k * case.spacing + zero))
    return -(at_least + below + gap)


def _binary(case: _Case) -> Array:
    xp, loss = case.xp, case.xp.zeros_like(case.x)
    for j, u in _steps(case):
        loss = loss - log_sigmoid(xp, xp.where(case.target >= j, u, -u))
    return loss


def _steps(case: _Case) -> Iterator[tuple[int, Array]]:
    """The levels from 1, and logits of the questions whether they are reached."""
    for j in range(1, case.n + 1):
        yield j, case.steepness * (case.x - threshold(j, case.n, case.spacing))
