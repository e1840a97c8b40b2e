"""Gumbel noise on logits: relaxed, straight-through, Rao-Blackwellised and exact samples."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.primitives._masked import kept, select
from anymax.primitives._selection import largest, ordered
from anymax.primitives.row_cut import row_cut
from anymax.primitives.row_softmax import row_log_softmax, row_softmax
from anymax.softmaxes._operands import check_count, common_shape, operands, spread
from anymax.softmaxes._rows import rows
from anymax.softmaxes.stochastic._concrete import with_constant
from anymax.softmaxes.stochastic._perturbed import (
    check_draws,
    conditional_noise,
    drawn,
    perturbed,
    straight_through,
)

_FEW = 8  # a row this many times longer than what is drawn is not sorted


@form(
    shapes="logits: ... C, gumbel: ... C -> ... C",
    papers=("1611.01144", "1611.00712"),
    cost="O(n)",
    primitives=("row_softmax",),
)
def gumbel_softmax(
    logits: Array,
    gumbel: Array,
    /,
    *,
    hard: bool = False,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Softmax of logits perturbed by Gumbel noise: a relaxed sample of the categorical law.

    .. math:: y_i = \frac{e^{(x_i + g_i)/T}}{\sum_j e^{(x_j + g_j)/T}}

    Parameters
    ----------
    logits : array (..., C)
        Logits of any real dtype.
    gumbel : array (..., C)
        Standard Gumbel noise, :math:`-\log(-\log u)` for uniform u, or minus the logarithm of
        exponential draws.  Broadcasts with `logits`.
    hard : bool
        Straight-through: the value is one-hot at the first maximum, the gradient that of the soft
        value.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    temperature : float or array
        Divides the perturbed logits; positive, size 1 along `axis`.  torch calls it tau.

    Returns
    -------
    array (..., C)
        Weights that sum to one; exactly one-hot if `hard`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`, and if `logits` and `gumbel` don't broadcast.

    Notes
    -----
    As T falls to 0 the value becomes the one-hot exact sample, as it rises the uniform weights.
    A logit (or noise) of -inf is masked; a row with nothing to choose gives zeros, NaN stays in its
    row.  The noise is an argument, so the function is pure; it is differentiated too.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, g = np.log(np.asarray([1.0, 2.0])), np.log(np.asarray([3.0, 0.5]))
    >>> am.gumbel_softmax(x, g)
    array([0.75, 0.25])
    >>> am.gumbel_softmax(x, g, hard=True)
    array([1., 0.])

    References
    ----------
    .. [1] E. Jang, S. Gu, B. Poole, "Categorical reparameterization with Gumbel-softmax",
       arXiv:1611.01144, 2017.
    .. [2] C. J. Maddison, A. Mnih, Y. W. Teh, "The Concrete distribution", arXiv:1611.00712, 2017.
    """
    name = "gumbel_softmax"
    ops, z, keep = perturbed(name, logits, gumbel, where, temperature)
    r = rows(name, z, axis, keep, ops.arrays[2])
    soft = row_softmax(r.x, r.where, axis=r.axis, scale=r.scale)
    if hard:
        soft = straight_through(ops.xp, largest(ops.xp, r.x, r.where, 1, r.axis), soft)
    return ops.finish(r.finish(soft))


@form(
    shapes="logits: ... C, index: ..., exponential: n ... C -> ... C",
    papers=("2010.04838", "2408.10774"),
    cost="O(n C)",
    primitives=("row_softmax",),
)
def gumbel_rao(
    logits: Array,
    index: Array,
    exponential: Array,
    /,
    *,
    axis: int = -1,
    temperature: float | Array = 1.0,
) -> Array:
    r"""One-hot sample whose gradient is averaged over noise given that sample.

    .. math::

        y = \mathrm{onehot}(i), \qquad
        \mathrm{d}y = \frac1n\sum_{k=1}^{n} \mathrm{d}\,\mathrm{softmax}\big((x + g^{(k)})/T\big)

    where :math:`g^{(k)}` is Gumbel noise conditioned on :math:`\arg\max(x + g^{(k)}) = i`.

    Parameters
    ----------
    logits : array (..., C)
        Logits of any real dtype.
    index : integer array (...)
        The class that was drawn.
    exponential : array (n, ..., C)
        Independent standard exponential draws, n sets of them.
    axis : int
        The axis of the classes in `logits`; one further in `exponential`.
    temperature : float or array
        Divides the perturbed logits; positive, size 1 along `axis`.

    Returns
    -------
    array (..., C)
        One-hot at `index`; its gradient is that of the mean of n softmaxes.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.gumbel_softmax`, and when the shapes don't fit.
    IndexError
        `axis` is out of bounds, or `index` names no class (where values can be looked at).

    Notes
    -----
    With Z the logsumexp, the perturbed logits are :math:`a_i = Z - \log E_i` and
    :math:`a_j = -\log(E_j e^{-x_j} + E_i e^{-Z})`, taken in logarithms: the official code's
    exponentials overflow for logits above 88 in float32.  The noise is a constant:
    the gradient is the mean over draws of :math:`s_k(g-\langle s_k,g\rangle)/T`.
    n = 1 is the straight-through Gumbel-softmax.  A logit of -inf is masked: drawn all the same,
    it gives a row of zeros.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, e = np.asarray([0.0, 1.0]), np.asarray([[1.0, 2.0]])
    >>> am.gumbel_rao(x, np.asarray(1), e)
    array([0., 1.])
    >>> value, (grad,) = am.value_and_grad(
    ...     lambda x: am.gumbel_rao(x, np.asarray(1), e)[1], argnums=(0,))(x)
    >>> bool(abs(grad[0]) > 0.1)
    True

    References
    ----------
    .. [1] M. B. Paulus, C. J. Maddison, A. Krause, "Rao-Blackwellizing the straight-through
       Gumbel-softmax gradient estimator", arXiv:2010.04838, 2021.
    .. [2] C. Wei et al., "Flexora: flexible low rank adaptation for large language models",
       arXiv:2408.10774, 2024.
    """
    name = "gumbel_rao"
    _array.required(name, logits=logits, index=index, exponential=exponential)
    if temperature is None:
        raise TypeError(f"{name}: temperature is None; a positive number or an array fits")
    if not _array.is_integer(index):
        raise TypeError(f"{name}: index has dtype {_array.dtype_name(index)}; integers fit")
    ops = operands(name, logits=logits, exponential=exponential, temperature=temperature)
    xp, (x, e, temperature) = ops.xp, ops.arrays
    (a,) = _array.axes(name, axis, x.ndim)
    hot = drawn(xp, name, index, x, a)
    check_draws(name, e, x)
    noise = conditional_noise(xp, stop_gradient(x), hot, stop_gradient(e), a)
    keep = kept(xp, x, None) & (noise != -xp.inf)
    z = select(xp, keep, x) + select(xp, keep, noise)
    if not _array.is_scalar(temperature) and temperature.ndim == x.ndim:
        temperature = temperature[None, ...]
    r = rows(name, z, a + 1, keep, temperature)
    soft = row_softmax(r.x, r.where, axis=r.axis, scale=r.scale)
    soft = xp.sum(soft, axis=0) / max(e.shape[0], 1)
    return ops.finish(straight_through(xp, hot & kept(xp, x, None), soft))


@form(
    shapes="logits: ... C, gumbel: ... C -> ... k",
    papers=("1903.06059",),
    cost="O(n log n)",
)
def gumbel_top_k(
    logits: Array, gumbel: Array, /, *, k: int, axis: int = -1, where: Array | None = None
) -> Array:
    r"""Indices of the k largest perturbed logits: k draws without replacement, in order.

    .. math:: i_1, \dots, i_k = \operatorname{arg\,top}_k(x + g)

    Parameters
    ----------
    logits : array (..., C)
        Logits of any real dtype.
    gumbel : array (..., C)
        Standard Gumbel noise; broadcasts with `logits`.
    k : int
        Number of draws.
    axis : int
        The axis of the classes; the draws take its place.
    where : boolean array, broadcastable to `logits`
        True where a class can be drawn.

    Returns
    -------
    integer array (..., k)
        Classes in the order drawn; -1 where no class is left.  A row with a NaN that takes part is
        -1 throughout.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.gumbel_softmax`; k is no positive integer.

    Notes
    -----
    The order is a Plackett-Luce draw, so ``k = 1`` is an exact sample of ``softmax(logits)``.
    Ties go to the lowest index.  Nothing is differentiable.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.gumbel_top_k(np.asarray([0.0, 1.0, -np.inf]), np.asarray([2.0, 0.0, 5.0]), k=3)
    array([ 0,  1, -1])

    References
    ----------
    .. [1] W. Kool, H. van Hoof, M. Welling, "Stochastic beams and where to find them",
       arXiv:1903.06059, 2019.
    """
    name = "gumbel_top_k"
    k = check_count(name, "k", k)
    ops, z, keep = perturbed(name, logits, gumbel, where)
    xp = ops.xp
    if z.ndim == 0:
        z, keep = z[None], keep[None]
    (a,) = _array.axes(name, axis, z.ndim)
    index = _first(xp, z, keep, k, a)
    short = k - index.shape[-1]
    if short > 0:
        fill = xp.zeros((*index.shape[:-1], short), dtype=index.dtype, device=_array.device(index))
        index = xp.concat([index, fill - 1], axis=-1)
    bad = xp.any(keep & xp.isnan(z), axis=a)[..., None]
    index = xp.where(bad, xp.full_like(index, -1), index)
    return index if a == z.ndim - 1 else xp.moveaxis(index, -1, a)


def _first(xp: Any, z: Array, keep: Array, k: int, axis: int) -> Array:
    """Indices of the k largest, largest first: of long rows only what a selection leaves is sorted.

    That looks at values, as eager arrays allow; a row with fewer than k, or a NaN, is sorted whole.
    """
    looks = _array.library(z) in ("numpy", "torch") and _array.cheap_values(z)
    if looks and axis == z.ndim - 1 and 0 < _FEW * k < z.shape[-1] and 0 not in z.shape:
        chosen = row_cut(
            z, keep, None, axis=(axis,), kind="top_k_strict", value=float(k), least=1, scale=1.0
        )
        if bool(xp.all(xp.count_nonzero(chosen, axis=-1) == k)):
            index = xp.reshape(xp.nonzero(chosen)[-1], (*z.shape[:-1], k))
            values = xp.take_along_axis(z, index, axis=-1)
            order = xp.argsort(values, axis=-1, descending=True, stable=True)
            return xp.take_along_axis(index, order, axis=-1)
    return ordered(xp, z, keep, k, axis)


@form(
    shapes="y: ... C, logits: ... C -> ...",
    papers=("1611.00712",),
    cost="O(n)",
    primitives=("row_log_softmax",),
)
def concrete_log_density(
    y: Array,
    logits: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    temperature: float | Array = 1.0,
    log_input: bool = False,
) -> Array:
    r"""Logarithm of the density of a relaxed categorical sample (the Concrete distribution).

    .. math::

        \log p(y) = \log\Gamma(C) + (C-1)\log T + \sum_i\big(x_i - (T+1)\log y_i\big)
            - C\log\sum_i e^{x_i - T\log y_i}

    Parameters
    ----------
    y : array (..., C)
        A point of the simplex, as :func:`anymax.gumbel_softmax` returns; its logarithm if
        `log_input`.
    logits : array (..., C)
        Logits of any real dtype; a class of -inf takes no part.
    axis : int, tuple of ints or None
        Axes of the classes.
    temperature : float or array
        The temperature T of the relaxation; positive, size 1 along `axis`.
    log_input : bool
        Whether `y` holds logarithms; the density is then that of the logarithm (ExpConcrete).

    Returns
    -------
    array (...)
        Log density; -inf for a row without classes.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`, and if `y` and `logits` don't broadcast.

    Notes
    -----
    The density of log y has the sum :math:`\sum_i\log\mathrm{softmax}(x-T\log y)_i` in it
    and doesn't underflow at small T, where entries of y round to 0; the density of y subtracts
    :math:`\sum_i\log y_i`.  An entry of 0 whose class takes part is on the border, where the
    formula has no value: NaN.  (The formula is quoted from memory of the paper; that it integrates
    to one is tested.)

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> y, x = np.asarray([0.25, 0.25, 0.5]), np.zeros(3)
    >>> round(float(am.concrete_log_density(y, x, temperature=0.5)), 6)
    -0.561626
    >>> round(float(am.concrete_log_density(np.log(y), x, temperature=0.5, log_input=True)), 6)
    -4.027362

    References
    ----------
    .. [1] C. J. Maddison, A. Mnih, Y. W. Teh, "The Concrete distribution", arXiv:1611.00712, 2017,
       equation 10 and appendix C.
    """
    name = "concrete_log_density"
    _array.required(name, y=y, logits=logits)
    if temperature is None:
        raise TypeError(f"{name}: temperature is None; a positive number or an array fits")
    ops = operands(name, y=y, logits=logits, temperature=temperature)
    xp, (y, x, t) = ops.xp, ops.arrays
    shape = common_shape(name, y=y, logits=x)
    y, x = spread(xp, y, shape), spread(xp, x, shape)
    keep = kept(xp, x, None)
    inside = keep & ((y != -xp.inf) & (y != xp.inf) if log_input else (y > 0) & (y != xp.inf))
    y = select(xp, inside, y, 0.0 if log_input else 1.0)
    log_y = y if log_input else xp.log(y)
    log_y = xp.where(keep & ~inside, xp.full_like(log_y, xp.nan), log_y)
    x = xp.where(x == xp.inf, xp.full_like(x, xp.nan), x)
    r = rows(name, select(xp, keep, x), axis, keep, t)  # checks the temperature and the axes
    if r.scalar:
        x, log_y, keep = x[..., None], log_y[..., None], keep[..., None]
    z = select(xp, keep, select(xp, keep, x) - t * log_y)
    log_p = select(xp, keep, row_log_softmax(z, keep, axis=r.axis, scale=1.0))
    log_p = log_p if log_input else log_p - log_y
    total = xp.sum(select(xp, keep, log_p), axis=r.axis)
    return ops.finish(with_constant(xp, total, keep, t, r.axis))


@form(
    shapes="x: ... C -> ... C",
    papers=("2408.10774",),
    cost="O(n)",
    primitives=("row_softmax",),
)
def mean_one_softmax(
    x: Array,
    /,
    *,
    total: float | Array | None = None,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Softmax scaled to sum to a total, by default so that the mean weight is one.

    .. math:: w_i = N\,\frac{e^{x_i}}{\sum_j e^{x_j}}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    total : float or array, optional
        What the weights sum to (size 1 along `axis`); by default the number N of logits that take
        part.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    array (..., C)
        Weights, at least 0.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    Logits of 0 give weights of 1, which leave what they multiply as it is: layers chosen by their
    weights start as the plain network.  The official hook of [1]_ multiplies three times, once in
    each submodule (read from its code, not run); that cube is not offered.  The weights don't
    change when a constant is added to the logits, but the paper's rule "choose logits above 0"
    does.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.mean_one_softmax(np.zeros(3))
    array([1., 1., 1.])
    >>> am.mean_one_softmax(np.log(np.asarray([1.0, 3.0])), total=8.0)
    array([2., 6.])

    References
    ----------
    .. [1] C. Wei et al., "Flexora: flexible low rank adaptation for large language models",
       arXiv:2408.10774, 2024.
    """
    name = "mean_one_softmax"
    r = rows(name, x, axis, where)
    ops = operands(name, x=r.x, total=total)
    xp, (z, n) = ops.xp, ops.arrays
    keep = kept(xp, z, r.where)
    if n is None:
        n = xp.sum(xp.astype(keep, z.dtype), axis=r.axis, keepdims=True)
    elif not _array.is_scalar(n):
        _array.check_broadcast(name, "total", n, z.shape, "x")
    weights = row_softmax(z, r.where, axis=r.axis, scale=r.scale)
    return ops.finish(r.finish(select(xp, keep, weights * n)))
