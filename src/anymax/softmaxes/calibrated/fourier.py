"""Fourier head: a density on [-1, 1] that is a squared trigonometric polynomial, and its bins."""

from __future__ import annotations

import math

from anymax import _array, _solve
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.primitives._masked import select
from anymax.softmaxes._operands import operands
from anymax.softmaxes.calibrated._trigonometric import (
    autocorrelation,
    bins,
    blur_gains,
    check_points,
    density,
    distribution,
    parameters,
    ratios,
    shortfall,
)

_PAPER = ("2410.22269",)


@form(shapes="theta: ... 2(N+1) -> ... N+1", papers=_PAPER, level="module", cost="O(N^2)")
def fourier_coefficients(theta: Array, /) -> Array:
    r"""Autocorrelation of complex parameters: Fourier coefficients of a non-negative function.

    .. math:: c_l = \sum_{k=0}^{N-l} \overline{a_k}\, a_{k+l}, \qquad
        a_k = \theta_k + i\,\theta_{N+1+k}

    Parameters
    ----------
    theta : array (..., 2(N+1))
        Real parts of :math:`a_0 \dots a_N`, then their imaginary parts.

    Returns
    -------
    complex array (..., N+1)
        Coefficients; the first one is real and at least 0.

    Raises
    ------
    TypeError
        `theta` has no real dtype.
    ValueError
        Its last axis is not of even size, or empty.

    Notes
    -----
    complex128 for float64, complex64 else.  The density needs none of this, see
    :func:`anymax.softmaxes.fourier_pdf`.  NumPy arrays under :func:`anymax.value_and_grad` have no
    complex derivatives; torch and JAX have.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmaxes.fourier_coefficients(np.asarray([1.0, 2.0, 0.0, 1.0]))
    array([6.+0.j, 2.+1.j])

    References
    ----------
    .. [1] N. Gillman et al., "Fourier head: helping large language models learn complex
       probability distributions", arXiv:2410.22269, 2024.
    """
    ops, x, y = parameters("fourier_coefficients", theta, scaled=False)
    xp = ops.xp
    real, imaginary = autocorrelation(xp, x, y)
    dtype = xp.complex128 if _array.dtype_name(x) == "float64" else xp.complex64
    return xp.astype(real, dtype) + xp.astype(imaginary, dtype) * 1j


@form(shapes="theta: ... 2(N+1), z: ... m -> ... m", papers=_PAPER, level="module", cost="O(N m)")
def fourier_pdf(theta: Array, z: Array, /) -> Array:
    r"""Density on [-1, 1] that is a squared trigonometric polynomial, never negative.

    .. math:: p(z) = \frac{\big|\sum_k a_k e^{i\pi k z}\big|^2}{2\sum_k |a_k|^2}
        = \frac12 + \mathrm{Re}\sum_{l=1}^{N} \frac{c_l}{c_0}\, e^{i\pi l z}

    Parameters
    ----------
    theta : array (..., 2(N+1))
        Real parts of :math:`a_0 \dots a_N`, then their imaginary parts; any scale.
    z : array (m,) or (..., m)
        Points in [-1, 1]; the density repeats outside.

    Returns
    -------
    array (..., m)
        Values of the density, which integrates to one.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.softmaxes.fourier_coefficients`; the arrays don't broadcast.

    Notes
    -----
    The first form is computed: two products with tables of cosines and sines, O(N m) for a row,
    no complex numbers; the official code's second form builds an array (batch, m, N) of complex
    numbers and can come out slightly negative.  Parameters that are all 0 give the uniform density.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmaxes.fourier_pdf(np.asarray([1.0, 1.0, 0.0, 0.0]), np.asarray([0.0, 0.5]))
    array([1. , 0.5])

    References
    ----------
    .. [1] N. Gillman et al., "Fourier head: helping large language models learn complex
       probability distributions", arXiv:2410.22269, 2024.
    """
    ops, x, y = parameters("fourier_pdf", theta, z=z)
    z = ops.arrays[1]
    check_points("fourier_pdf", z)
    return ops.finish(density(ops.xp, x, y, z))


@form(
    shapes="theta: ... 2(N+1), z: ... m -> ... m", papers=_PAPER, level="module",
    cost="O(N^2 + N m)",
)  # fmt: skip
def fourier_cdf(theta: Array, z: Array, /) -> Array:
    r"""Distribution function of the Fourier density.

    .. math:: F(z) = \frac{z+1}2
        + \mathrm{Re}\sum_{l=1}^{N}\frac{c_l}{c_0}\,\frac{e^{i\pi l z} - (-1)^l}{i\pi l}

    Parameters
    ----------
    theta : array (..., 2(N+1))
        Real parts of :math:`a_0 \dots a_N`, then their imaginary parts; any scale.
    z : array (m,) or (..., m)
        Points in [-1, 1].

    Returns
    -------
    array (..., m)
        Probability of values up to z: 0 at -1, 1 at 1, never falling, up to rounding.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.softmaxes.fourier_pdf`.

    Notes
    -----
    The derivative in z is the density.  Differences of it are exact masses of bins, which the
    paper's softmax over bin centres is not.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> z = np.asarray([-0.5, 0.0, 1.0])
    >>> am.softmaxes.fourier_cdf(np.asarray([1.0, 1.0, 0.0, 0.0]), z).round(6)
    array([0.090845, 0.5     , 1.      ])

    References
    ----------
    .. [1] N. Gillman et al., "Fourier head: helping large language models learn complex
       probability distributions", arXiv:2410.22269, 2024.
    """
    ops, x, y = parameters("fourier_cdf", theta, z=z)
    z = ops.arrays[1]
    check_points("fourier_cdf", z)
    return ops.finish(distribution(ops.xp, *ratios(ops.xp, x, y), z))


@form(shapes="theta: ... 2(N+1), u: ... m -> ... m", papers=_PAPER, cost="O(N^2 + N m)")
def fourier_icdf(theta: Array, u: Array, /) -> Array:
    r"""Quantiles of the Fourier density: uniform numbers become samples.

    .. math:: z = F^{-1}(u)

    Parameters
    ----------
    theta : array (..., 2(N+1))
        Real parts of :math:`a_0 \dots a_N`, then their imaginary parts; any scale.
    u : array (m,) or (..., m)
        Probabilities in [0, 1].

    Returns
    -------
    array (..., m)
        Points in [-1, 1]; NaN for a `u` outside [0, 1].

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.softmaxes.fourier_pdf`.

    Notes
    -----
    Bisection to the last digit, then two differentiable Newton steps:
    :math:`\mathrm dz/\mathrm du = 1/p(z)`, and samples can be differentiated by `theta`.  The
    official code halves brackets 25 times, with an error of 3e-8 and no derivative.  Where the
    density is 0 the quantile is any point of equal probability, and a constant.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> z = am.fourier_icdf(np.asarray([1.0, 1.0, 0.0, 0.0]), np.asarray([0.25, 0.5, 0.75]))
    >>> z.round(6)
    array([-0.264742,  0.      ,  0.264742])

    References
    ----------
    .. [1] N. Gillman et al., "Fourier head: helping large language models learn complex
       probability distributions", arXiv:2410.22269, 2024.
    """
    ops, x, y = parameters("fourier_icdf", theta, u=u)
    xp, u = ops.xp, ops.arrays[1]
    check_points("fourier_icdf", u)
    valid = (u >= 0.0) & (u <= 1.0)
    u = select(xp, valid, u, 0.5)
    real, imaginary = ratios(xp, x, y)
    zero = xp.zeros_like(xp.sum(stop_gradient(real), axis=-1, keepdims=True) + u)
    constants = tuple(stop_gradient(c) for c in (u, real, imaginary))
    z = _solve.bisect(lambda t: shortfall(xp, t, *constants)[0], zero - 1.0, zero + 1.0)
    z = _solve.polish(lambda t: shortfall(xp, t, u, real, imaginary), z, order=2)
    valid = valid & (zero == 0.0)
    return ops.finish(select(xp, valid, z, xp.nan))


@form(shapes="theta: ... 2(N+1) -> ... num_bins", papers=_PAPER, cost="O(N num_bins)")
def fourier_softmax(theta: Array, /, *, num_bins: int) -> Array:
    r"""Smooth categorical distribution over ordered bins from Fourier parameters.

    .. math:: p_j = \frac{p(z_j)}{\sum_i p(z_i)}, \qquad z_j = -1 + \frac{2j+1}{M}

    Parameters
    ----------
    theta : array (..., 2(N+1))
        Real parts of :math:`a_0 \dots a_N`, then their imaginary parts; any scale.
    num_bins : int
        The number of bins M.

    Returns
    -------
    array (..., num_bins)
        Probabilities.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.softmaxes.fourier_coefficients`; `num_bins` is no positive integer.

    Notes
    -----
    Two products of a row with fixed tables.  For N < M the sum of the densities is M / 2, whatever
    the parameters.  A phase common to all :math:`a_k`, and a scale, change nothing.  Parameters
    that are all 0 give uniform bins with gradient 0; NaN and infinities give NaN in their row.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.fourier_softmax(np.asarray([1.0, 1.0, 0.0, 0.0]), num_bins=2)
    array([0.5, 0.5])

    References
    ----------
    .. [1] N. Gillman et al., "Fourier head: helping large language models learn complex
       probability distributions", arXiv:2410.22269, 2024.
    """
    ops, square, total = bins("fourier_softmax", theta, num_bins)
    some = total != 0
    p = square / select(ops.xp, some, total, 1.0)
    return ops.finish(select(ops.xp, some, p, 1.0 / num_bins))


@form(shapes="theta: ... 2(N+1) -> ... num_bins", papers=_PAPER, cost="O(N num_bins)")
def log_fourier_softmax(theta: Array, /, *, num_bins: int, eps: float = 0.0) -> Array:
    r"""Logarithm of the categorical distribution over bins from Fourier parameters.

    .. math:: \log\!\big(p_j + \varepsilon\big)

    Parameters
    ----------
    theta : array (..., 2(N+1))
        Real parts of :math:`a_0 \dots a_N`, then their imaginary parts; any scale.
    num_bins : int
        The number of bins.
    eps : float
        Added to the probabilities before the logarithm; the official layer has 1e-5.

    Returns
    -------
    array (..., num_bins)
        Log-probabilities.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.fourier_softmax`; `eps` is negative.

    Notes
    -----
    Exact with ``eps=0``: -inf, with gradient 0, at a bin whose centre is a root of the polynomial.
    The official floor of 1e-5 bounds every loss at 11.5 and damps gradients of bins below it.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.log_fourier_softmax(np.asarray([1.0, 1.0, 0.0, 0.0]), num_bins=2)
    array([-0.69314718, -0.69314718])

    References
    ----------
    .. [1] N. Gillman et al., "Fourier head: helping large language models learn complex
       probability distributions", arXiv:2410.22269, 2024.
    """
    if not eps >= 0:
        raise ValueError(f"log_fourier_softmax: eps is {eps}; a number of at least 0 fits")
    ops, square, total = bins("log_fourier_softmax", theta, num_bins)
    xp = ops.xp
    some = total != 0
    if eps:
        p = select(xp, some, square / select(xp, some, total, 1.0), 1.0 / num_bins)
        return ops.finish(xp.log(p + eps))
    some, live = some & (square == square), square != 0
    log_p = xp.log(select(xp, live, square, 1.0)) - xp.log(select(xp, total != 0, total, 1.0))
    log_p = select(xp, live, log_p, -xp.inf)
    return ops.finish(select(xp, total != 0, log_p, -math.log(num_bins)))


@form(shapes="pmf: ... m -> ...", papers=_PAPER, level="module", cost="O(m^2)")
def fourier_smoothness(pmf: Array, /, *, axis: int = -1, num_scales: int = 100) -> Array:
    r"""How far a distribution over ordered bins is from its blurred copies.

    .. math:: \sum_{\sigma=1}^{S} \frac{6}{\pi^2\sigma^2}\ \|p - G_\sigma * p\|_2

    Parameters
    ----------
    pmf : array (..., m)
        Probabilities of m bins on a circle.
    axis : int
        The axis of the bins.
    num_scales : int
        The number S of Gaussian filters.

    Returns
    -------
    array (...)
        0 for a uniform distribution, larger for rougher ones.

    Raises
    ------
    TypeError, ValueError, IndexError
        `pmf` has no real dtype, `num_scales` is no positive integer, `axis` is out of bounds.

    Notes
    -----
    The filters are SciPy's ``gaussian_filter1d`` with ``mode="wrap"`` and radius m - 1: circulant,
    so by Parseval every norm is a weighted sum of one spectrum, and one product serves all scales.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> rough = am.softmaxes.fourier_smoothness(np.asarray([0.5, 0.0, 0.5, 0.0]))
    >>> round(float(rough), 6)
    0.509637

    References
    ----------
    .. [1] N. Gillman et al., "Fourier head: helping large language models learn complex
       probability distributions", arXiv:2410.22269, 2024, appendix.
    """
    name = "fourier_smoothness"
    if not hasattr(num_scales, "__index__") or isinstance(num_scales, bool) or num_scales < 1:
        raise ValueError(f"{name}: num_scales is {num_scales!r}; a positive integer fits")
    _array.required(name, pmf=pmf)
    ops = operands(name, pmf=pmf)
    xp, (p,) = ops.xp, ops.arrays
    p = p[None] if p.ndim == 0 else p
    (a,) = _array.axes(name, axis, p.ndim)
    p = p if a == p.ndim - 1 else xp.moveaxis(p, a, -1)
    m = p.shape[-1]
    if m == 0:
        return ops.finish(xp.sum(p, axis=-1))
    gain = blur_gains(xp, p, m, num_scales)
    j = _array.arange(xp, m, p)
    angles = _array.cast(xp, (j[:, None] * j[None, :]) % m, p.dtype) * (2.0 * math.pi / m)
    real, imaginary = xp.matmul(p, xp.cos(angles)), xp.matmul(p, xp.sin(angles))
    power = (real * real + imaginary * imaginary) / m
    square = xp.matmul(power, gain)
    rough = square > 0
    norm = xp.sqrt(select(xp, rough | (square != square), square, 1.0))
    norm = select(xp, rough | (square != square), norm)
    sigma = _array.cast(xp, _array.arange(xp, num_scales, p) + 1, p.dtype)
    return ops.finish(xp.sum(norm * (6.0 / math.pi**2) / (sigma * sigma), axis=-1))
