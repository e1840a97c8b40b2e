"""What losses of the spherical family know of a row of logits, and a bound that is one of them."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes, _solve
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import kept, nonzero, select
from anymax.softmaxes._operands import operands, spread
from anymax.softmaxes._rows import rows
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid

Axes = int | tuple[int, ...] | None


@form(shapes="x: ... C -> ..., ...", papers=("1604.08859",), level="module", cost="O(n)")
def spherical_stats(
    x: Array, /, *, axis: Axes = -1, where: Array | None = None
) -> tuple[Array, Array]:
    r"""Sum of squares and sum of the logits: all that spherical losses see beside the target.

    .. math:: q = \sum_k x_k^2, \qquad s = \sum_k x_k

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    axis : int, tuple of ints or None
        Axes to sum over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    q : array (...)
        Sum of squares.
    s : array (...)
        Sum.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    A logit of -inf is masked; nothing sums to 0.  :math:`q/C - (s/C)^2` cancels where the mean is
    large beside the deviation, so :func:`anymax.z_loss` computes its deviation otherwise.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.losses.spherical_stats(np.asarray([[1.0, 2.0], [3.0, -4.0]]))
    (array([ 5., 25.]), array([ 3., -1.]))

    References
    ----------
    .. [1] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859, 2016.
    """
    r = rows("spherical_stats", x, axis, where)
    xp, dtype = r.xp, r.x.dtype
    y = _array.widen(xp, r.x)
    y = select(xp, kept(xp, y, r.where), y)
    return (
        _array.cast(xp, xp.sum(y * y, axis=r.axis), dtype),
        _array.cast(xp, xp.sum(y, axis=r.axis), dtype),
    )


_FACTORED = "h: ... D, gram: D D, w_sum: D -> ..., ..."


@form(shapes=_FACTORED, papers=("1412.7091", "1604.08859"), level="module", cost="O(D^2)")
def spherical_stats_factored(h: Array, gram: Array, w_sum: Array, /) -> tuple[Array, Array]:
    r"""The same sums of the logits of a linear layer, which are never formed.

    .. math:: q = h^\top Q h, \qquad s = \bar w^\top h, \qquad
        Q = W^\top W, \quad \bar w = W^\top 1

    Parameters
    ----------
    h : array (..., D)
        Inputs of the layer.
    gram : array (D, D)
        Q, the layer's products of columns.
    w_sum : array (D,)
        :math:`\bar w`, the sum of its rows.

    Returns
    -------
    q : array (...)
        Sum of squares of the logits :math:`W h`.
    s : array (...)
        Sum of them.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or the shapes don't fit.

    Notes
    -----
    The number of classes is in neither the time nor the memory.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> w, h = np.asarray([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]]), np.asarray([[1.0, 2.0]])
    >>> am.losses.spherical_stats_factored(h, w.T @ w, w.sum(axis=0))
    (array([37.]), array([7.]))
    >>> am.losses.spherical_stats(h @ w.T)
    (array([37.]), array([7.]))

    References
    ----------
    .. [1] P. Vincent, A. de Brebisson, X. Bouthillier, "Efficient exact gradient update for
       training deep networks with very large sparse targets", NIPS 2015, arXiv:1412.7091.
    .. [2] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859, 2016.
    """
    name = "spherical_stats_factored"
    _array.required(name, h=h, gram=gram, w_sum=w_sum)
    ops = operands(name, h=h, gram=gram, w_sum=w_sum)
    _shapes.check(name, _FACTORED, {"h": h, "gram": gram, "w_sum": w_sum})
    xp, (h, gram, w_sum) = ops.xp, ops.arrays
    back = xp.matmul(h[None, :], gram)[0, :] if h.ndim == 1 else xp.matmul(h, gram)
    return ops.finish(xp.sum(h * back, axis=-1)), ops.finish(xp.sum(h * w_sum, axis=-1))


@form(shapes="x: ... C -> ...", papers=("1511.05042",), level="module", cost="O(n)")
def bouchard_logsumexp_bound(
    x: Array,
    /,
    *,
    xi: Array | float | None = None,
    alpha: Array | float | None = None,
    axis: Axes = -1,
    where: Array | None = None,
) -> Array:
    r"""Quadratic upper bound of the logsumexp, by default the tightest of its family.

    .. math:: \mathrm{logsumexp}(x) \le \alpha + \sum_k \Big[\frac{x_k - \alpha - \xi}2
        + \lambda(\xi)\,\big((x_k - \alpha)^2 - \xi^2\big) + \log(1 + e^\xi)\Big], \qquad
        \lambda(\xi) = \frac{\tanh(\xi/2)}{4\xi}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    xi : float or array (...)
        Where the bound of each term touches; one number for all terms.  None: the best one.
    alpha : float or array (...)
        Shift of the logits.  None: the best one.
    axis : int, tuple of ints or None
        Axes to sum over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    array (...)
        At least the logsumexp; -inf where nothing takes part, +inf where +inf does.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; `xi` or `alpha` does not broadcast to the result.

    Notes
    -----
    For a given :math:`\xi` the best shift is
    :math:`\alpha = \bar x + \frac{C/2 - 1}{2\lambda C}`, for a given shift the best
    :math:`\xi^2` is the mean of :math:`(x_k - \alpha)^2`.  Their common solution is the root of an
    increasing function of :math:`\xi` and of the variance, found by bisection and differentiable to
    second order, rather than by alternation.  One logit is its own bound, which is reached as
    :math:`\xi` grows.  The formulas are Bouchard's as remembered, checked by the inequality.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([1.0, 2.0, 3.0])
    >>> round(float(am.losses.bouchard_logsumexp_bound(x)), 6), round(float(am.logsumexp(x)), 6)
    (4.143443, 3.407606)

    References
    ----------
    .. [1] G. Bouchard, "Efficient bounds for the softmax function, applications to inference in
       hybrid models", NIPS workshop on approximate Bayesian inference, 2007.
    .. [2] A. de Brebisson, P. Vincent, "An exploration of softmax alternatives belonging to the
       spherical loss family", ICLR 2016, arXiv:1511.05042.
    """
    name = "bouchard_logsumexp_bound"
    _array.required(name, x=x)
    ops = operands(name, x=x, xi=xi, alpha=alpha)
    r = rows(name, ops.arrays[0], axis, where)
    xp, keep = r.xp, kept(r.xp, r.x, r.where)
    y = select(xp, keep, r.x)
    count = xp.sum(xp.astype(keep, y.dtype), axis=r.axis)
    given = {"xi": ops.arrays[1], "alpha": ops.arrays[2]}
    for word, value in given.items():
        if value is not None and not _array.is_scalar(value):
            _array.check_broadcast(name, word, value, count.shape, "the result")
            given[word] = spread(xp, value, tuple(count.shape))
    some, alone = count > 0, (count == 1) & (xi is None and alpha is None)
    n = nonzero(xp, count)
    mean = xp.sum(y, axis=r.axis) / n
    apart = select(xp, keep, y - _expand(xp, mean, r.axis))
    variance = select(xp, some & ~alone, xp.sum(apart * apart, axis=r.axis) / n)
    touch, shift = _touch(xp, mean, variance, n, alone, **given)
    bound = shift + n * (0.5 * (mean - shift) + _log_two_cosh(xp, touch))
    square = variance + (mean - shift) * (mean - shift)
    bound = bound + n * _curvature(xp, touch) * (square - touch * touch)
    bound = xp.where(alone, mean, bound)
    infinite = xp.any(keep & (r.x == xp.inf), axis=r.axis) & ~xp.any(xp.isnan(y), axis=r.axis)
    return ops.finish(select(xp, some, select(xp, ~infinite, bound, xp.inf), -xp.inf))


def _touch(xp: Any, mean: Array, variance: Array, n: Array, alone: Array, *, xi: Any, alpha: Any):
    """Where the bound touches, and its shift: what was given, the rest as good as can be."""
    k = 1.0 - 2.0 / n
    if xi is None and alpha is not None:
        square = variance + (mean - alpha) * (mean - alpha)
        some = square != 0
        xi = select(xp, some, xp.sqrt(select(xp, some, square, 1.0)))
    elif xi is None:
        k = select(xp, ~alone, k)
        xi = _root(xp, variance, k)
    xi = xi + xp.zeros_like(mean)
    if alpha is None:
        alpha = mean + 0.25 * k / _curvature(xp, xi)
    return xi, alpha + xp.zeros_like(mean)


def _root(xp: Any, variance: Array, k: Array) -> Array:
    r"""The positive root of :math:`\xi^2 - k^2\,\xi^2\coth^2(\xi/2) =` variance.

    The left side increases, as :math:`\xi \coth \xi \ge 1`; it is at least
    :math:`(1 - k^2)\,\xi^2 - 4 k^2`.
    """
    square = k * k

    def residual(t: Array, variance: Array) -> tuple[Array, Array]:
        u = 0.25 / _curvature(xp, t)  # t coth(t / 2)
        near = t * t < 1e-4
        safe = select(xp, ~near, t, 1.0)
        slope = xp.where(near, t / 3.0, u / safe + 0.5 * (t - u * u / safe))
        return variance - (t * t - square * u * u), -2.0 * (t - square * u * slope)

    constant = _array.stop_gradient(variance)
    upper = xp.sqrt((constant + 4.0 * square) / (1.0 - square))
    t = _solve.bisect(lambda t: residual(t, constant)[0], xp.zeros_like(upper), upper)
    return _solve.polish(lambda t: residual(t, variance), t, order=2)


def _curvature(xp: Any, xi: Array) -> Array:
    """``tanh(xi / 2) / (4 xi)``, by its series near 0."""
    near = xp.abs(xi) < 0.03
    t = select(xp, near, xi)
    t = t * t
    series = 0.125 - t / 96.0 + t * t / 960.0 - 17.0 / 161280.0 * t * t * t
    xi = select(xp, ~near, xi, 1.0)
    return xp.where(near, series, 0.25 * xp.tanh(0.5 * xi) / xi)


def _log_two_cosh(xp: Any, xi: Array) -> Array:
    """``log(1 + e^xi) - xi / 2``."""
    return -log_sigmoid(xp, -xi) - 0.5 * xi


def _expand(xp: Any, y: Array, axis: tuple[int, ...]) -> Array:
    for a in axis:
        y = xp.expand_dims(y, axis=a)
    return y
