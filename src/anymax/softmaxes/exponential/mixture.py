"""Mixtures of softmaxes: several distributions over one vocabulary, and weights of theirs."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import kept, select
from anymax.primitives.row_softmax import row_log_softmax, row_logsumexp, row_softmax
from anymax.softmaxes._operands import operands, spread

_SHAPES = "logits: ... E V, prior_logits: ... E -> ... V"


@form(shapes=_SHAPES, papers=("1711.03953",), cost="O(E V)", primitives=("row_softmax",))
def mixture_of_softmaxes(
    logits: Array, prior_logits: Array, /, *, where: Array | None = None
) -> Array:
    r"""Average of several softmaxes with softmax weights.

    .. math:: p_v = \sum_e \mathrm{softmax}(\pi)_e\ \mathrm{softmax}(x_e)_v

    Parameters
    ----------
    logits : array (..., E, V)
        Logits of E experts over V classes.
    prior_logits : array (..., E)
        Logits of the experts' weights.
    where : boolean array, broadcastable to (..., V)
        True where a class takes part, for all experts alike.

    Returns
    -------
    array (..., V)
        Probabilities.

    Raises
    ------
    TypeError
        An array has no real dtype, or `where` is not boolean.
    ValueError
        The shapes don't fit.

    Notes
    -----
    An expert whose prior logit is -inf takes no part, whatever its logits hold.  An expert without
    a class to choose keeps its weight and adds 0.  The log-probabilities of many contexts form a
    matrix whose rank is not bounded by the width of the layer that made the logits, as it is for
    E = 1.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.log(np.asarray([[1.0, 3.0], [4.0, 1.0]]))
    >>> am.mixture_of_softmaxes(x, np.zeros(2))
    array([0.525, 0.475])

    References
    ----------
    .. [1] Z. Yang, Z. Dai, R. Salakhutdinov, W. W. Cohen, "Breaking the softmax bottleneck",
       arXiv:1711.03953, 2018.
    """
    ops, x, prior, keep, _ = _arguments("mixture_of_softmaxes", logits, prior_logits, where)
    return ops.finish(_mixture(ops.xp, x, prior, keep))


def _mixture(xp: Any, x: Array, prior: Array, keep: Array) -> Array:
    p = row_softmax(x, keep, axis=(x.ndim - 1,), scale=1.0)
    weight = row_softmax(prior, None, axis=(prior.ndim - 1,), scale=1.0)[..., None]
    # A weight of NaN times a probability of 0 must stay 0 where the class is masked.
    weight = xp.where(keep, weight, xp.zeros_like(weight))
    return xp.sum(weight * p, axis=-2)


@form(shapes=_SHAPES, papers=("1711.03953",), cost="O(E V)", primitives=("row_log_softmax",))
def log_mixture_of_softmaxes(
    logits: Array, prior_logits: Array, /, *, where: Array | None = None, eps: float = 0.0
) -> Array:
    r"""Logarithm of a mixture of softmaxes, by two levels of logsumexp.

    .. math:: \log p_v = \log\sum_e e^{\log\mathrm{softmax}(\pi)_e + \log\mathrm{softmax}(x_e)_v}

    Parameters
    ----------
    logits : array (..., E, V)
        Logits of E experts over V classes.
    prior_logits : array (..., E)
        Logits of the experts' weights.
    where : boolean array, broadcastable to (..., V)
        True where a class takes part, for all experts alike.
    eps : float
        Added to the probabilities before the logarithm; 1e-8 in the official code.

    Returns
    -------
    array (..., V)
        Log-probabilities; -inf where masked.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.mixture_of_softmaxes`; `eps` is negative.

    Notes
    -----
    Exact with ``eps=0``: a class of probability :math:`e^{-1000}` has its logarithm and its
    gradient.  The official ``log(p + 1e-8)`` has a floor at -18.4, next to which gradients vanish,
    and sums to more than one.  A policy that is a mixture has this log-probability.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([[0.0, -1000.0], [0.0, -1000.0]])
    >>> am.log_mixture_of_softmaxes(x, np.zeros(2))
    array([    0., -1000.])
    >>> am.log_mixture_of_softmaxes(x, np.zeros(2), eps=1e-8)
    array([ 9.99999989e-09, -1.84206807e+01])

    References
    ----------
    .. [1] Z. Yang, Z. Dai, R. Salakhutdinov, W. W. Cohen, "Breaking the softmax bottleneck",
       arXiv:1711.03953, 2018.
    """
    name = "log_mixture_of_softmaxes"
    if not eps >= 0:
        raise ValueError(f"{name}: eps is {eps}; a number of at least 0 fits")
    ops, x, prior, keep, some = _arguments(name, logits, prior_logits, where)
    xp = ops.xp
    if eps:
        p = select(xp, some, _mixture(xp, x, prior, keep), 1.0)
        return ops.finish(select(xp, some, xp.log(p + eps), -xp.inf))
    log_p = row_log_softmax(x, keep, axis=(x.ndim - 1,), scale=1.0)
    weight = row_log_softmax(prior, None, axis=(prior.ndim - 1,), scale=1.0)[..., None]
    z = select(xp, keep, log_p) + xp.where(keep, weight, xp.zeros_like(weight))
    return ops.finish(row_logsumexp(z, keep, axis=(x.ndim - 2,), scale=1.0))


def _arguments(function: str, logits: Array, prior: Array, where: Array | None):
    """Checked arrays, where an expert has a class, and which classes any expert has."""
    _array.required(function, logits=logits, prior_logits=prior)
    ops = operands(function, logits=logits, prior_logits=prior)
    _array.namespace(function, logits=logits, where=where)
    xp, (x, prior) = ops.xp, ops.arrays
    _shapes.check(function, _SHAPES, {"logits": x, "prior_logits": prior})
    _array.check_broadcast(function, "prior_logits", prior, x.shape[:-1], "logits' experts")
    _array.check_mask(function, "where", where, (*x.shape[:-2], x.shape[-1]), "(..., V)")
    prior = spread(xp, prior, tuple(x.shape[:-1]))
    if where is not None and where.ndim > 1:
        where = xp.expand_dims(where, axis=-2)
    keep = kept(xp, x, where) & (prior != -xp.inf)[..., None]
    return ops, select(xp, keep, x), prior, keep, xp.any(keep, axis=-2)
