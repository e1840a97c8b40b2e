"""Divergences of the normal-inverse-Wishart model of NIW-Meta, with diagonal scales."""

from __future__ import annotations

import math
from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses.regularization._gamma import log_multivariate_gamma, multivariate_digamma
from anymax.softmaxes._operands import Operands, operands
from anymax.softmaxes._rows import positive

_PAPER = ("2306.09702",)
_KL = "mean: ... D, var: ... D, m0: D, v0: D -> ..."
_PRIOR = "m0: D, v0: D, mu0: D, sigma0: D -> "
_LOCAL = "mean: ... D, precision: ... D, m0: D, v0: D -> ... D, ... D"
_META = "episode_loss: ..., mean: ... D, var: ... D, m0: D, v0: D -> ..."


@form(shapes=_KL, papers=_PAPER, cost="O(D)")
def expected_gaussian_niw_kl(
    mean: Array, var: Array, m0: Array, v0: Array, /, *, l0: float, n0: float
) -> Array:
    r"""Expected divergence of a Gaussian from one drawn from a normal-inverse-Wishart.

    .. math::

        \mathbb{E}\,\mathrm{KL}\big(N(m, V) \,\|\, N(\mu, \Sigma)\big) = \tfrac12\Big[
        n_0 \operatorname{tr} V V_0^{-1} + n_0 (m-m_0)^\top V_0^{-1} (m-m_0) + \tfrac{d}{l_0}
        + \log\tfrac{|V_0|}{|V|} - \psi_d\big(\tfrac{n_0}{2}\big) - d \log 2 - d\Big]

    over :math:`\mu \mid \Sigma \sim N(m_0, \Sigma/l_0)`, :math:`\Sigma \sim IW(V_0, n_0)`.

    Parameters
    ----------
    mean : array (..., D)
        m, the means of Gaussians.
    var : array (..., D)
        The diagonals of their covariances V; positive.
    m0 : array (D,)
        Location.
    v0 : array (D,)
        The diagonal of the scale; positive.
    l0 : float
        How many observations the location is worth; positive.
    n0 : float
        Degrees of freedom; above D - 1.

    Returns
    -------
    array (...)
        Divergences, at least 0.

    Raises
    ------
    TypeError
        An argument is no real array, or `l0` or `n0` no number.
    ValueError
        Shapes do not fit, `l0` isn't positive, or `n0` isn't above D - 1.

    Notes
    -----
    O(D): everything is elementwise but the multivariate digamma function, which is a constant and
    takes constant time for any D.  The derivatives by m0 and V0 are -n0 (m - m0) / V0 and
    (1 / V0 - n0 (V + (m - m0)^2) / V0^2) / 2.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> one, zero = np.ones(1), np.zeros(1)
    >>> am.expected_gaussian_niw_kl(one, one, zero, 2 * one, l0=1.0, n0=2.0) + 0.0
    np.float64(1.2886078324507664)

    References
    ----------
    .. [1] M. Kim, T. Hospedales, "A hierarchical Bayesian model for deep few-shot meta learning",
       arXiv:2306.09702, 2023 (the closed form is derived from its model).
    """
    name = "expected_gaussian_niw_kl"
    given = _given(name, _KL, mean=mean, var=var, m0=m0, v0=v0)
    d = given.arrays[0].shape[-1]
    l0, n0 = positive(name, "l0", l0), _freedom(name, "n0", n0, d)
    constant = d / l0 - multivariate_digamma(n0 / 2, d) - d * math.log(2.0) - d
    return given.finish(0.5 * (_local(given.xp, *given.arrays, n0=n0) + constant))


def _local(xp: Any, mean: Array, var: Array, m0: Array, v0: Array, *, n0: float) -> Array:
    """Trace, square and determinants of the expected divergence."""
    change = mean - m0
    terms = n0 * (var + change * change) / v0 + xp.log(v0) - xp.log(var)
    return xp.sum(terms, axis=-1)


@form(shapes=_PRIOR, papers=_PAPER, cost="O(D)")
def niw_kl(
    m0: Array,
    v0: Array,
    mu0: Array,
    sigma0: Array,
    /,
    *,
    l0: float,
    n0: float,
    lambda0: float,
    nu0: float,
) -> Array:
    r"""Kullback-Leibler divergence between two normal-inverse-Wishart distributions.

    .. math::

        &\tfrac12\big[\tfrac{d \lambda_0}{l_0} - d + d \log\tfrac{l_0}{\lambda_0}
        + \lambda_0 n_0 (m_0-\mu_0)^\top V_0^{-1} (m_0-\mu_0)\big]
        + \tfrac{\nu_0}{2} \log\tfrac{|V_0|}{|\Sigma_0|} \\
        &+ \tfrac{n_0}{2}\big(\operatorname{tr} \Sigma_0 V_0^{-1} - d\big)
        + \log\tfrac{\Gamma_d(\nu_0/2)}{\Gamma_d(n_0/2)}
        + \tfrac{n_0 - \nu_0}{2}\,\psi_d\big(\tfrac{n_0}{2}\big)

    Parameters
    ----------
    m0 : array (D,)
        Location of the first distribution (the posterior).
    v0 : array (D,)
        The diagonal of its scale; positive.
    mu0 : array (D,)
        Location of the second (the prior).
    sigma0 : array (D,)
        The diagonal of its scale; positive.
    l0, n0 : float
        Observations that the first location is worth, positive; degrees of freedom, above D - 1.
    lambda0, nu0 : float
        The same of the second.

    Returns
    -------
    array ()
        The divergence, at least 0, and 0 for equal distributions.

    Raises
    ------
    TypeError
        An argument is no real array, or one of the four numbers is none.
    ValueError
        Shapes do not fit, or a number is out of its range.

    Notes
    -----
    The global term of the bound of NIW-Meta, with weight one over the number of episodes.  The
    multivariate gamma functions are constants, in O(D) scalar steps.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> one, zero = np.ones(2), np.zeros(2)
    >>> counts = {"l0": 1.0, "n0": 4.0, "lambda0": 1.0, "nu0": 4.0}
    >>> am.niw_kl(one, one, zero, one, **counts) + 0.0
    np.float64(4.0)

    References
    ----------
    .. [1] M. Kim, T. Hospedales, "A hierarchical Bayesian model for deep few-shot meta learning",
       arXiv:2306.09702, 2023 (the closed form is derived from its model).
    """
    name = "niw_kl"
    given = _given(name, _PRIOR, m0=m0, v0=v0, mu0=mu0, sigma0=sigma0)
    xp, (m, v, mu, sigma) = given.xp, given.arrays
    d = m.shape[-1]
    l0, lambda0 = positive(name, "l0", l0), positive(name, "lambda0", lambda0)
    n0, nu0 = _freedom(name, "n0", n0, d), _freedom(name, "nu0", nu0, d)
    constant = 0.5 * d * (lambda0 / l0 - 1.0 + math.log(l0 / lambda0) - n0)
    constant += log_multivariate_gamma(nu0 / 2, d) - log_multivariate_gamma(n0 / 2, d)
    constant += 0.5 * (n0 - nu0) * multivariate_digamma(n0 / 2, d)
    change = m - mu
    terms = (lambda0 * n0 * change * change + n0 * sigma) / v + nu0 * (xp.log(v) - xp.log(sigma))
    return given.finish(0.5 * xp.sum(terms, axis=-1) + constant)


@form(shapes=_LOCAL, papers=_PAPER, cost="O(D)", level="module")
def niw_local_posterior(
    mean: Array, precision: Array, m0: Array, v0: Array, /, *, n0: float
) -> tuple[Array, Array]:
    r"""Best Gaussian of an episode: that of its quadratic loss and the shared prior.

    .. math:: V = (\bar A + n_0 V_0^{-1})^{-1}, \qquad
        m = V\,(\bar A\,\bar m + n_0 V_0^{-1} m_0)

    Parameters
    ----------
    mean : array (..., D)
        Minimum of the episode's loss.
    precision : array (..., D)
        The diagonal of its curvature A; at least 0.
    m0 : array (D,)
        Location of the prior.
    v0 : array (D,)
        The diagonal of its scale; positive.
    n0 : float
        Degrees of freedom; positive.

    Returns
    -------
    mean : array (..., D)
        Means of the Gaussians.
    var : array (..., D)
        Diagonals of their covariances.

    Raises
    ------
    TypeError
        An argument is no real array, or `n0` no number.
    ValueError
        Shapes do not fit, or `n0` isn't positive.

    Notes
    -----
    It minimises the quadratic loss plus :func:`anymax.expected_gaussian_niw_kl`.  Without
    curvature it is exactly the prior, m0 and V0 / n0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> mean, precision, m0, v0 = np.ones(1), 3 * np.ones(1), np.zeros(1), 2 * np.ones(1)
    >>> am.losses.niw_local_posterior(mean, precision, m0, v0, n0=2.0)
    (array([0.75]), array([0.25]))

    References
    ----------
    .. [1] M. Kim, T. Hospedales, "A hierarchical Bayesian model for deep few-shot meta learning",
       arXiv:2306.09702, 2023.
    """
    name = "niw_local_posterior"
    n0 = positive(name, "n0", n0)
    given = _given(name, _LOCAL, mean=mean, precision=precision, m0=m0, v0=v0)
    m, a, m0, v0 = given.arrays
    total = a * v0 + n0
    return given.finish(m0 + a * v0 / total * (m - m0)), given.finish(v0 / total)


@form(shapes=_META, papers=_PAPER, cost="O(D)")
def niw_meta_loss(
    episode_loss: Array,
    mean: Array,
    var: Array,
    m0: Array,
    v0: Array,
    /,
    *,
    l0: float,
    n0: float,
    reduction: str = "mean",
) -> Array:
    r"""Negative evidence bound of episodes under a normal-inverse-Wishart posterior.

    .. math::

        \ell_i + \tfrac12\Big[\log\tfrac{|V_0|}{|V_i|} + n_0 \operatorname{tr} V_i V_0^{-1}
        + n_0 (m_i-m_0)^\top V_0^{-1} (m_i-m_0) - \psi_d\big(\tfrac{n_0}{2}\big)\Big]
        + \tfrac{d}{2 l_0}

    Parameters
    ----------
    episode_loss : array (...)
        Loss of each episode, at a sample of its Gaussian.
    mean : array (..., D)
        Means m of the Gaussians of the episodes.
    var : array (..., D)
        Diagonals of their covariances V; positive.
    m0 : array (D,)
        Location.
    v0 : array (D,)
        The diagonal of the scale; positive.
    l0 : float
        How many observations the location is worth; positive.
    n0 : float
        Degrees of freedom; above D - 1.
    reduction : {"mean", "sum", "none"}
        Over the episodes.

    Returns
    -------
    array () or (...)
        The bound, or one per episode with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument is no real array, or `l0` or `n0` no number.
    ValueError
        Shapes do not fit, a number is out of its range, or `reduction` is unknown.

    Notes
    -----
    The loss plus :func:`anymax.expected_gaussian_niw_kl`, but for the constant (d + d log 2) / 2.
    The layout of the terms is from memory of the paper; its choice of l0 and n0 (from the number of
    episodes) is uncertain, so both are arguments.  The Gaussians usually come from
    :func:`anymax.losses.niw_local_posterior`; no graph through an inner loop is kept.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> one, zero = np.ones((1, 1)), np.zeros(1)
    >>> am.niw_meta_loss(np.ones(1), one, one, zero, 2 + zero, l0=1.0, n0=2.0) + 0.0
    np.float64(3.135181422730739)

    References
    ----------
    .. [1] M. Kim, T. Hospedales, "A hierarchical Bayesian model for deep few-shot meta learning",
       arXiv:2306.09702, 2023.
    """
    name = "niw_meta_loss"
    check_reduction(name, reduction)
    given = _given(
        name, _META, episode_loss=episode_loss, mean=mean, var=var, m0=m0, v0=v0
    )  # fmt: skip
    xp, (loss, *arrays) = given.xp, given.arrays
    d = arrays[0].shape[-1]
    l0, n0 = positive(name, "l0", l0), _freedom(name, "n0", n0, d)
    constant = d / (2.0 * l0) - 0.5 * multivariate_digamma(n0 / 2, d)
    bound = loss + (0.5 * _local(xp, *arrays, n0=n0) + constant)
    return given.finish(reduced(xp, bound, reduction))


def _given(function: str, shapes: str, **arrays: Array) -> Operands:
    _array.required(function, **arrays)
    given = operands(function, **arrays)
    _shapes.check(function, shapes, dict(zip(arrays, given.arrays)))
    return given


def _freedom(function: str, name: str, value: Any, d: int) -> float:
    """Degrees of freedom of a proper inverse Wishart distribution of D x D matrices."""
    value = positive(function, name, value)
    if not value > d - 1:
        raise ValueError(f"{function}: {name} is {value}; above D - 1 = {d - 1} fits")
    return value
