"""One logit for nested classes: the multi-level activation and its ordered-logit reading."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.softmaxes.structured._levels import count_levels, log1mexp, parameter, staircase
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid


@form(shapes="x: ... -> ...", papers=("1810.09488",), cost="O(n) a level")
def multi_level_activation(
    x: Array,
    /,
    *,
    num_levels: int,
    steepness: float | Array = 10.0,
    spacing: float | Array = 0.5,
) -> Array:
    r"""Staircase of sigmoids: the expected level of an ordered logit with evenly spaced steps.

    .. math:: a(x) = \sum_{i=1}^{n} \sigma\Big(k\,\big(x + h\,(i - \tfrac{n+1}{2})\big)\Big)

    Parameters
    ----------
    x : array (...)
        One logit an element, e.g. a voxel.
    num_levels : int
        n, the number of foreground classes, each nested in the one before.
    steepness : float or array, broadcastable to `x`
        k, how sharp the steps are; positive.  An array is differentiated too.
    spacing : float or array, broadcastable to `x`
        h, the distance of the steps; positive.

    Returns
    -------
    array (...)
        Between 0 (background) and `num_levels`; rounding it gives the class.

    Raises
    ------
    TypeError, ValueError
        `num_levels` is no positive int, `steepness` or `spacing` not positive, or does not fit.

    Notes
    -----
    Increasing in `x`, with :math:`a(-x) = n - a(x)`; one level is ``sigmoid(k * x)``; ``x`` of
    plus or minus infinity gives n or 0, NaN gives NaN.  Slopes vanish on the stairs, so losses are
    better taken from :func:`anymax.ordered_logit_log_softmax` with thresholds
    :math:`h\,(j - \frac{n+1}{2})`, of which this is the mean level.  The values of `steepness` and
    `spacing` are those remembered of the two-class paper [2]_; they are not confirmed for [1]_.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([-2.0, -0.25, 0.25, 2.0])
    >>> am.multi_level_activation(x, num_levels=3, steepness=80.0).round(6) + 0.0
    array([0., 1., 2., 3.])

    References
    ----------
    .. [1] X. Hu, H. Li, Y. Zhao, C. Dong, B. H. Menze, M. Piraud, "Hierarchical multi-class
       segmentation of glioma images using networks with multi-level activation function", BrainLes
       2018, arXiv:1810.09488.
    .. [2] M. Piraud, A. Sekuboyina, B. H. Menze, "Multi-level activation for segmentation of
       hierarchically-nested classes", ECCV workshops 2018, arXiv:1804.01910.
    """
    name = "multi_level_activation"
    _array.required(name, x=x)
    n = count_levels(name, num_levels)
    xp = _array.namespace(name, x=x, steepness=steepness, spacing=spacing)
    x, k, h = _array.promote(xp, name, x=x, steepness=steepness, spacing=spacing)
    dtype = x.dtype
    k, h = (parameter(xp, name, w, v, x) for w, v in (("steepness", k), ("spacing", h)))
    return _array.cast(xp, staircase(xp, _array.widen(xp, x), n, k, h), dtype)


@form(shapes="x: ..., thresholds: T -> ... C", papers=("1810.09488",), cost="O(n)")
def ordered_logit_log_softmax(
    x: Array, thresholds: Array, /, *, steepness: float | Array = 1.0
) -> Array:
    r"""Log-probabilities of ordered classes from one logit and the thresholds between them.

    .. math:: p_j = \sigma(k(x - t_j)) - \sigma(k(x - t_{j+1})), \qquad
        \sigma(k(x - t_0)) = 1,\ \sigma(k(x - t_{n+1})) = 0

    Parameters
    ----------
    x : array (...)
        One logit an element.
    thresholds : array (T,)
        Strictly increasing, T of them for T + 1 classes.
    steepness : float or array, broadcastable to `x`
        k; positive.  An array is differentiated too.

    Returns
    -------
    array (..., T + 1)
        Log-probabilities of the classes 0 to T; their exponentials sum to one.

    Raises
    ------
    TypeError
        `x` or `thresholds` is no real array.
    ValueError
        `thresholds` is not one-dimensional or does not increase, `steepness` is not positive or
        does not fit.

    Notes
    -----
    The difference of two sigmoids is never formed.  With :math:`u_j = k(x - t_j)`,
    :math:`\log p_j = \log(1 - e^{u_{j+1} - u_j}) + \log\sigma(u_j) + \log\sigma(-u_{j+1})`, finite
    for every finite logit.  The derivative by x is
    :math:`k\,(1 - \sigma(u_j) - \sigma(u_{j+1}))`.  An infinite logit gives an end class
    probability one; NaN gives NaN in its row.  Thresholds that traced code cannot look at and that
    do not increase give NaN.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp = am.ordered_logit_log_softmax(np.asarray(0.0), np.log(np.asarray([1.0, 3.0])))
    >>> np.exp(logp)
    array([0.5 , 0.25, 0.25])

    References
    ----------
    .. [1] P. McCullagh, "Regression models for ordinal data", Journal of the Royal Statistical
       Society B 42(2), 1980.
    .. [2] X. Hu et al., "Hierarchical multi-class segmentation of glioma images using networks with
       multi-level activation function", BrainLes 2018, arXiv:1810.09488.
    """
    name = "ordered_logit_log_softmax"
    _array.required(name, x=x, thresholds=thresholds)
    xp = _array.namespace(name, x=x, thresholds=thresholds, steepness=steepness)
    x, t, k = _array.promote(xp, name, x=x, thresholds=thresholds, steepness=steepness)
    _check_thresholds(xp, name, t)
    dtype = x.dtype
    k = parameter(xp, name, "steepness", k, x)
    x, t = (_array.widen(xp, a) for a in (x, t))
    x = x[..., None]
    k = k if _array.is_scalar(k) else k[..., None]
    u = k * (x - t)
    none = xp.zeros_like(x)
    at_least = xp.concat([none, log_sigmoid(xp, u)], axis=-1)
    below = xp.concat([log_sigmoid(xp, -u), none], axis=-1)
    log_p = at_least + below
    if t.shape[0] > 1:
        gap = log1mexp(xp, k * (t[1:] - t[:-1])) + none
        log_p = log_p + xp.concat([none, gap, none], axis=-1)
    return _array.cast(xp, log_p, dtype)


def _check_thresholds(xp: Any, function: str, t: Array) -> None:
    if t.ndim != 1:
        raise ValueError(
            f"{function}: thresholds has {t.ndim} axes, shape {_array.shape_text(t.shape)}; "
            "one is needed: (T,)"
        )
    if _array.values_known(t) and t.shape[0] > 1:
        good = xp.all(t[1:] > t[:-1])
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{function}: thresholds must be strictly increasing")
