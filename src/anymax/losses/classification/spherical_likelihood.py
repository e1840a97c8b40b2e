"""Cross entropies whose probabilities are polynomials of the logits, not exponentials."""

from __future__ import annotations

from typing import Any

from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import Classes, classes
from anymax.primitives.row_weights import row_log_weights
from anymax.softmaxes.rational._parameters import even, not_negative

_SHAPES = "logits: ... C, target: ... -> "
_PAPERS = ("1604.08859", "1511.05042")


@form(shapes=_SHAPES, papers=_PAPERS, cost="O(n)", primitives=("row_log_weights",))
def spherical_softmax_cross_entropy(
    logits: Array,
    target: Array,
    /,
    *,
    eps: float = 0.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Expected surprise of the targets under the spherical softmax, which squares the logits.

    .. math:: \ell = -\sum_k t_k \log\frac{x_k^2 + \epsilon}{\sum_j (x_j^2 + \epsilon)}

    Parameters
    ----------
    logits : array (..., C)
        Scores, the C classes on `axis`; their sign does not matter.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities.
    eps : float
        Added to every square; not negative.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; a negative `eps` is a ValueError.

    Notes
    -----
    With ``eps=0`` a target logit of 0 costs +inf and the gradient grows without bound near it; the
    authors keep an `eps`, whose value is theirs to tune.  Logits that are all 0 are then uniform
    and have gradient 0.

    .. math:: \partial\ell/\partial x_k = \frac{2 x_k}{\sum_j (x_j^2 + \epsilon)}
        - \frac{2 t_k x_k}{x_k^2 + \epsilon}

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([1.0, -2.0, 0.0])
    >>> round(float(am.spherical_softmax_cross_entropy(x, np.asarray(0))), 6)
    1.609438

    References
    ----------
    .. [1] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859, 2016.
    .. [2] A. de Brebisson, P. Vincent, "An exploration of softmax alternatives belonging to the
       spherical loss family", ICLR 2016, arXiv:1511.05042.
    """
    name = "spherical_softmax_cross_entropy"
    value = (not_negative(name, eps),)
    case = classes(name, logits, target, axis=axis, where=where, weight=weight, reduction=reduction)
    return case.finish(_surprise(case, "spherical", value), reduction)


@form(shapes=_SHAPES, papers=_PAPERS, cost="O(n order)", primitives=("row_log_weights",))
def taylor_softmax_cross_entropy(
    logits: Array,
    target: Array,
    /,
    *,
    order: int = 2,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Expected surprise of the targets under the Taylor softmax.

    .. math:: \ell = -\sum_k t_k \log\frac{p(x_k)}{\sum_j p(x_j)}, \qquad
        p(x) = \sum_{i=0}^{m} \frac{x^i}{i!}

    Parameters
    ----------
    logits : array (..., C)
        Scores, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities.
    order : int
        Degree m of the polynomials: even, so that they are positive.  Of degree 2 the loss is
        spherical.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; an `order` that is odd or below 2 is a ValueError.

    Notes
    -----
    Not the "Taylor cross entropy" of the literature on label noise, which expands the logarithm.
    Not monotone: of order 2, logits of -1 - t and -1 + t cost the same.  Finite for finite logits.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([0.0, 1.0, 2.0])
    >>> round(float(am.taylor_softmax_cross_entropy(x, np.asarray(2))), 6)
    0.530628

    References
    ----------
    .. [1] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859, 2016.
    .. [2] A. de Brebisson, P. Vincent, "An exploration of softmax alternatives belonging to the
       spherical loss family", ICLR 2016, arXiv:1511.05042.
    """
    name = "taylor_softmax_cross_entropy"
    value = (even(name, order),)
    case = classes(name, logits, target, axis=axis, where=where, weight=weight, reduction=reduction)
    return case.finish(_surprise(case, "taylor", value), reduction)


def _surprise(case: Classes, kind: str, value: tuple[Any, ...]) -> Array:
    axis = (case.logits.ndim - 1,)
    logp = row_log_weights(case.logits, case.keep, None, axis=axis, kind=kind, value=value)
    return -case.at_target(logp)
