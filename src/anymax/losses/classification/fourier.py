"""Losses of the Fourier head: likelihood of points under its density, and its roughness."""

from __future__ import annotations

import math
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives._masked import select
from anymax.softmaxes._operands import common_shape, operands, spread
from anymax.softmaxes.calibrated._trigonometric import (
    autocorrelation,
    density,
    parameters,
    ratios,
)

_PAPER = ("2410.22269",)


@form(shapes="theta: ... 2(N+1), target: ... -> ", papers=_PAPER, cost="O(N)")
def fourier_nll(
    theta: Array,
    target: Array,
    /,
    *,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Surprise of points in [-1, 1] under the Fourier density.

    .. math:: \ell = -\log p(z) = \log\Big(2\sum_k |a_k|^2\Big)
        - \log\Big|\sum_k a_k e^{i\pi k z}\Big|^2, \qquad a_k = \theta_k + i\,\theta_{N+1+k}

    Parameters
    ----------
    theta : array (..., 2(N+1))
        Real parts of :math:`a_0 \dots a_N`, then their imaginary parts; any scale.
    target : array (...)
        Points z in [-1, 1]; they and the rows of `theta` broadcast.
    where : boolean array, broadcastable to the losses
        True where a point counts.
    weight : array, broadcastable to the losses
        Weights of the points.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the weights.

    Returns
    -------
    array () or (...)
        A scalar, or a loss for each point with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.softmaxes.fourier_pdf`; an unknown reduction.

    Notes
    -----
    The density is a squared modulus, so its logarithm never meets a negative number, as the
    official sum of cosines can.  A root of the density costs +inf.  The density repeats outside
    [-1, 1].  Parameters that are all 0 stand for the uniform density, with gradient 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> theta = np.asarray([1.0, 1.0, 0.0, 0.0])
    >>> am.fourier_nll(theta, np.asarray([0.0, 0.5]), reduction="none")
    array([-0.        ,  0.69314718])

    References
    ----------
    .. [1] N. Gillman et al., "Fourier head: helping large language models learn complex
       probability distributions", arXiv:2410.22269, 2024.
    """
    name = "fourier_nll"
    check_reduction(name, reduction)
    _array.required(name, theta=theta, target=target)
    ops = operands(name, theta=theta, target=target, weight=weight)
    xp, (theta, target, weight) = ops.xp, ops.arrays
    lead = theta[..., 0] if theta.ndim and theta.shape[-1] else theta
    shape = common_shape(name, theta=lead, target=target)
    theta, target = spread(xp, theta, (*shape, *theta.shape[-1:])), spread(xp, target, shape)
    where = _checked(xp, name, where, weight, shape)
    if where is not None:
        theta, target = select(xp, where[..., None], theta), select(xp, where, target)
    _, x, y = parameters(name, theta)
    loss = -xp.log(density(xp, x, y, target[..., None])[..., 0])
    return ops.finish(reduced(xp, loss, reduction, live=where, weight=weight))


@form(shapes="theta: ... 2(N+1) -> ", papers=_PAPER, cost="O(N^2)")
def fourier_regularizer(
    theta: Array,
    /,
    *,
    normalized: bool = False,
    coeff: float | Array = 1.0,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Energy of the slope of a Fourier density: high frequencies cost more.

    .. math:: \ell = \gamma\, 4\pi^2 \sum_{l=1}^{N} l^2 |c_l|^2, \qquad
        c_l = \sum_{k=0}^{N-l} \overline{a_k}\, a_{k+l}

    Parameters
    ----------
    theta : array (..., 2(N+1))
        Real parts of :math:`a_0 \dots a_N`, then their imaginary parts.
    normalized : bool
        Divide the coefficients by :math:`c_0`, so that the scale of `theta` drops out.  The
        official code does not, and so penalises that scale too.
    coeff : float or array, broadcastable to the losses
        :math:`\gamma`; official default 0, 1e-6 in the experiments.
    where : boolean array, broadcastable to the losses
        True where a row counts.
    weight : array, broadcastable to the losses
        Weights of the rows.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the weights.

    Returns
    -------
    array () or (...)
        A scalar, or a term for each row with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.softmaxes.fourier_coefficients`; an unknown reduction.

    Notes
    -----
    The official code writes :math:`2 \sum 2\pi^2 l^2 |c_l|^2`.  Parameters that are all 0 cost 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> theta = np.asarray([1.0, 1.0, 0.0, 0.0])
    >>> round(float(am.fourier_regularizer(theta)) / np.pi**2, 6)
    4.0
    >>> round(float(am.fourier_regularizer(theta, normalized=True)) / np.pi**2, 6)
    1.0

    References
    ----------
    .. [1] N. Gillman et al., "Fourier head: helping large language models learn complex
       probability distributions", arXiv:2410.22269, 2024.
    """
    name = "fourier_regularizer"
    check_reduction(name, reduction)
    _array.required(name, theta=theta)
    ops = operands(name, theta=theta, coeff=coeff, weight=weight)
    xp, (theta, coeff, weight) = ops.xp, ops.arrays
    shape = tuple(theta.shape[:-1])
    where = _checked(xp, name, where, weight, shape)
    if where is not None:
        theta = select(xp, where[..., None], theta)
    _, x, y = parameters(name, theta, scaled=normalized)
    real, imaginary = ratios(xp, x, y) if normalized else autocorrelation(xp, x, y)
    first = 1 if normalized else 0
    order = _array.cast(xp, _array.arange(xp, real.shape[-1], real) + first, real.dtype)
    energy = xp.sum(order * order * (real * real + imaginary * imaginary), axis=-1)
    if not _array.is_scalar(coeff):
        _array.check_broadcast(name, "coeff", coeff, shape, "the losses")
        if where is not None:
            coeff = select(xp, where, spread(xp, coeff, shape))
    loss = coeff * (4.0 * math.pi**2 * energy)
    return ops.finish(reduced(xp, loss, reduction, live=where, weight=weight))


def _checked(
    xp: Any, function: str, where: Array | None, weight: Array | None, shape: tuple[int, ...]
) -> Array | None:
    """`where` in the shape of the losses, after it and `weight` were found to fit."""
    _array.check_mask(function, "where", where, shape, "the losses")
    if weight is not None:
        _array.check_broadcast(function, "weight", weight, shape, "the losses")
    return None if where is None else spread(xp, where, shape)
