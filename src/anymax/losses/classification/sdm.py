"""Cross entropy of the similarity-distance-magnitude activation."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import classes
from anymax.softmaxes._operands import spread
from anymax.softmaxes.calibrated.sdm import log_sdm_activation
from anymax.softmaxes.rational._parameters import not_negative


@form(
    shapes="logits: ... C, target: ..., q: ..., d: ... -> ", papers=("2502.20167",), cost="O(n)",
    primitives=("row_log_softmax",),
)  # fmt: skip
def sdm_cross_entropy(
    logits: Array,
    target: Array,
    q: Array,
    d: Array,
    /,
    *,
    eps: float = 0.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Surprise of the targets under the SDM activation, to the base 2 + q.

    .. math:: \ell = -\log_{2+q} p_y = \mathrm{logsumexp}_{2+q}(d\,x) - d\,x_y, \qquad
        p_i = \frac{(2+q)^{d\,x_i}}{\sum_j (2+q)^{d\,x_j}}

    Parameters
    ----------
    logits : array (..., C)
        Logits (the magnitude), the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities.
    q : array (...)
        Similarity of each example, at least 0; broadcasts.  A constant.
    d : array (...)
        Distance quantile of each example, in [0, 1]; broadcasts.  A constant.
    eps : float
        Added to the shifted powers and to their sum before the logarithms; the official code has
        1.19e-7.
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
        As :func:`anymax.cross_entropy`; `q` or `d` does not broadcast to the losses.

    Notes
    -----
    The gradient by the logits is :math:`d\,(p_k - t_k)`: the logarithm of the base cancels.  With
    q = e - 2 and d = 1 this is :func:`anymax.cross_entropy`, as in the paper's first epoch; with d
    = 0 it is the constant :math:`\log_{2+q} C`.  Exact with ``eps=0``; the official floor bounds
    the loss and lets the gradients of very wrong examples vanish.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.asarray([[0.0, 2.0], [0.0, 2.0]]), np.asarray([1, 0])
    >>> q, d = np.asarray([0.0, 0.0]), np.asarray([1.0, 0.5])
    >>> am.sdm_cross_entropy(x, y, q, d, reduction="none").round(6)
    array([0.321928, 1.584963])

    References
    ----------
    .. [1] A. Schmaltz, "Similarity-distance-magnitude universal verification", arXiv:2502.20167,
       2025, equation 8.
    """
    name = "sdm_cross_entropy"
    eps = not_negative(name, eps)
    _array.required(name, logits=logits, target=target, q=q, d=d)
    xp = _array.namespace(name, logits=logits, target=target, q=q, d=d, where=where, weight=weight)
    logits, q, d = _array.promote(xp, name, logits=logits, q=q, d=d)
    case = classes(name, logits, target, axis=axis, where=where, weight=weight, reduction=reduction)
    lead = tuple(case.logits.shape[:-1])
    for word, value in (("q", q), ("d", d)):
        _array.check_broadcast(name, word, value, lead, "the unreduced loss")
    q, d = (spread(xp, _array.stop_gradient(v), lead)[..., None] for v in (q, d))
    logp = log_sdm_activation(case.logits, q, d, eps=eps, where=case.keep)
    return case.finish(-case.at_target(logp), reduction)
