"""Binary cross entropies, of logits and of probabilities."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._elements import elements
from anymax.losses._targets import check_alike
from anymax.primitives._masked import select
from anymax.softmaxes._operands import times
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid


@form(shapes="logits: ..., target: ... -> ", papers=("classic",), cost="O(n)")
def binary_cross_entropy_with_logits(
    logits: Array,
    target: Array,
    /,
    *,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Array:
    r"""Expected surprise of yes-no targets under the sigmoids of the logits.

    .. math:: \ell = w\,\big(\pi\,y\log(1+e^{-x}) + (1-y)\log(1+e^x)\big)

    Parameters
    ----------
    logits : array (...)
        Logits x.
    target : array (...)
        Targets y, of the shape of `logits`: numbers in [0, 1] as a rule, or booleans.
    where : boolean array, broadcastable to `logits`
        True where a logit takes part.
    weight : array, broadcastable to `logits`
        Weights w of the losses.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of logits that take part, not by their weights (as torch).
    pos_weight : array, broadcastable to `logits`
        Weights :math:`\pi` of positives, (C,) for one a class in the last axis.

    Returns
    -------
    array () or (...)
        A scalar, or the losses with ``reduction="none"``.

    Raises
    ------
    TypeError
        `where` is not boolean.
    ValueError
        Shapes that do not match.

    Notes
    -----
    A logit of infinity on the side of its target costs 0, where :math:`0\cdot\infty` gives NaN in
    torch; on the other side it costs infinity.  The gradient by a logit is
    :math:`w\,((1-y)\,\sigma(x)-\pi y\,\sigma(-x))`, :math:`w\,(\sigma(x)-y)` without `pos_weight`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.log(np.asarray([1.0, 3.0])), np.asarray([1.0, 0.0])
    >>> am.binary_cross_entropy_with_logits(x, y, reduction="none")
    array([0.69314718, 1.38629436])

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville, "Deep Learning", 2016, section 6.2.2.2.
    """
    name = "binary_cross_entropy_with_logits"
    check_alike(name, "logits", logits, "target", target)
    if pos_weight is not None:
        _array.required(name, pos_weight=pos_weight)
        _array.check_broadcast(name, "pos_weight", pos_weight, logits.shape, "logits")
    e = elements(
        name, where=where, weight=weight, reduction=reduction,
        logits=logits, target=target, pos_weight=pos_weight,
    )  # fmt: skip
    xp, (x, y, pi) = e.xp, e.arrays
    yes = y if pi is None else y * pi
    loss = -(times(xp, yes, log_sigmoid(xp, x)) + times(xp, 1.0 - y, log_sigmoid(xp, -x)))
    return e.finish(loss, reduction, by_count=True)


@form(shapes="probs: ..., target: ... -> ", papers=("classic",), cost="O(n)")
def binary_cross_entropy(
    probs: Array,
    target: Array,
    /,
    *,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
    log_floor: float | None = -100.0,
) -> Array:
    r"""Expected surprise of yes-no targets under given probabilities.

    .. math:: \ell = -w\,\big(y\,\max(\log p, b) + (1-y)\,\max(\log(1-p), b)\big)

    Parameters
    ----------
    probs : array (...)
        Probabilities p in [0, 1].
    target : array (...)
        Targets y, of the shape of `probs`: numbers in [0, 1], or booleans.
    where : boolean array, broadcastable to `probs`
        True where a probability takes part.
    weight : array, broadcastable to `probs`
        Weights w of the losses.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of places that take part, not by their weights (as torch).
    log_floor : float or None
        The least value b of a logarithm (torch's is -100); None is exact: a probability of 0 for
        what is true costs infinity.

    Returns
    -------
    array () or (...)
        A scalar, or the losses with ``reduction="none"``.

    Raises
    ------
    TypeError
        `where` is not boolean.
    ValueError
        Shapes that do not match.

    Notes
    -----
    Prefer :func:`anymax.binary_cross_entropy_with_logits`: a probability near 1 has lost the digits
    of what it leaves.  A logarithm at its floor has gradient 0, as the formula says; torch divides
    by :math:`\max(p(1-p),10^{-12})` there.  Outside [0, 1] the loss is NaN.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> p, y = np.asarray([0.5, 0.25, 0.0]), np.asarray([1.0, 0.0, 1.0])
    >>> am.binary_cross_entropy(p, y, reduction="none")
    array([  0.69314718,   0.28768207, 100.        ])

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville, "Deep Learning", 2016, section 6.2.2.2.
    """
    name = "binary_cross_entropy"
    check_alike(name, "probs", probs, "target", target)
    e = elements(
        name, where=where, weight=weight, reduction=reduction, fill=0.5, probs=probs, target=target
    )
    xp, (p, y) = e.xp, e.arrays
    yes, no = _log(xp, p, log_floor), _log1p(xp, -p, log_floor)
    return e.finish(-(times(xp, y, yes) + times(xp, 1.0 - y, no)), reduction, by_count=True)


def _log(xp: Any, p: Array, floor: float | None) -> Array:
    some = p != 0
    return _floored(xp, select(xp, some, xp.log(select(xp, some, p, 1.0)), -xp.inf), floor)


def _log1p(xp: Any, x: Array, floor: float | None) -> Array:
    some = x != -1
    return _floored(xp, select(xp, some, xp.log1p(select(xp, some, x)), -xp.inf), floor)


def _floored(xp: Any, y: Array, floor: float | None) -> Array:
    if floor is None:
        return y
    return select(xp, ~(y < float(floor)), y, float(floor))
