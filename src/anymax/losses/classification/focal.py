"""Focal losses: cross entropy that looks away from what is already right."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import Classes, classes
from anymax.losses._elements import elements
from anymax.losses._reduction import mean_over, reduced
from anymax.losses._targets import check_alike, check_smoothing
from anymax.losses.classification._rest import power, rest
from anymax.primitives._masked import select
from anymax.primitives.row_cross_entropy import weighted_target
from anymax.softmaxes._operands import times
from anymax.softmaxes.sparse._parameters import AT_LEAST_ZERO, FRACTION, number
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid, sigmoid


@form(shapes="logits: ..., target: ... -> ", papers=("1708.02002",), cost="O(n)")
def sigmoid_focal_loss(
    logits: Array,
    target: Array,
    /,
    *,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Binary cross entropy of each logit, less the more probable its target already is.

    .. math::

        \ell = -\alpha_t\,(1-p_t)^\gamma\,
               \big(y\log\sigma(x) + (1-y)\log\sigma(-x)\big),\qquad
        \begin{aligned} p_t &= y\,\sigma(x) + (1-y)\,\sigma(-x)\\
                        \alpha_t &= \alpha y + (1-\alpha)(1-y)\end{aligned}

    Parameters
    ----------
    logits : array (...)
        Logits x.
    target : array (...)
        Targets y in [0, 1], of the shape of `logits`; a constant, no gradient flows to it.
    alpha : float or None
        Weight in [0, 1] of positives, 1 - alpha that of negatives; None weighs both with 1.
    gamma : float
        Focus, not negative; 0 is binary cross entropy.
    where : boolean array, broadcastable to `logits`
        True where a logit takes part.
    weight : array, broadcastable to `logits`
        Weights of the losses.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (...)
        A scalar, or the losses with ``reduction="none"``.

    Raises
    ------
    TypeError
        `where` is not boolean.
    ValueError
        Shapes that do not match, an alpha outside [0, 1], a negative gamma.

    Notes
    -----
    :math:`1-p_t` is taken from logarithms of sigmoids, so that a saturated logit has loss and
    gradient 0 for every gamma: below 1 the power has an infinite slope there.  A logit of
    infinity on the side of its target costs 0, on the other infinity.  Elsewhere `alpha` is -1 for
    None (torchvision), the default None (optax), or the sum is divided by the number of positives
    (RetinaNet: ``reduction="sum"``, and divide).

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> loss = am.sigmoid_focal_loss(np.asarray([0.0, 3.0]), np.asarray([1, 1]), reduction="none")
    >>> np.round(loss, 6)
    array([4.3322e-02, 2.7000e-05])

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal Loss for Dense Object
       Detection", ICCV 2017. arXiv:1708.02002.
    """
    name = "sigmoid_focal_loss"
    check_alike(name, "logits", logits, "target", target)
    gamma = number(name, "gamma", gamma, AT_LEAST_ZERO)
    e = elements(
        name, where=where, weight=weight, reduction=reduction, logits=logits, target=target
    )
    xp, x, y = e.xp, e.arrays[0], _array.stop_gradient(e.arrays[1])
    right, wrong = log_sigmoid(xp, x), log_sigmoid(xp, -x)
    loss = -(times(xp, y, right) + times(xp, 1.0 - y, wrong))
    if gamma:
        loss = loss * xp.exp(gamma * _log_miss(xp, x, y, right, wrong))
    if alpha is not None:
        a = number(name, "alpha", alpha, FRACTION)
        loss = loss * (a * y + (1.0 - a) * (1.0 - y))
    return e.finish(loss, reduction)


def _log_miss(xp: Any, x: Array, y: Array, right: Array, wrong: Array) -> Array:
    """log (1 - p_t): of one sigmoid for hard targets, where that of the mixture may underflow."""
    hard = (y == 0) | (y == 1)
    miss = sigmoid(xp, x) * (1.0 - y) + sigmoid(xp, -x) * y
    mixed = xp.log(select(xp, ~hard, miss, 1.0))
    return xp.where(hard, xp.where(y == 1, wrong, right), mixed)


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=("1708.02002",),
    cost="O(n)",
    primitives=("row_log_softmax", "row_softmax"),
)
def softmax_focal_loss(
    logits: Array,
    target: Array,
    /,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of each example, less the more probable its class already is.

    .. math:: \ell_n = -\sum_c w_c\,t_{nc}\,(1-p_{nc})^\gamma\log p_{nc},\qquad
              t_{nc} = (1-\epsilon)\,[c=y_n]+\epsilon/C

    Parameters
    ----------
    logits : array (..., C)
        Unnormalised log-probabilities, the C classes on `axis`.
    target : integer array (...)
        Class indices.
    gamma : float
        Focus, not negative; 0 is cross entropy.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights, the vector alpha of the paper.
    ignore_index : int
        Examples with this label are left out.
    label_smoothing : float
        :math:`\epsilon` in [0, 1]: the share of the target spread evenly over the classes, each of
        which has its own focus then.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the target classes' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; floating targets and a negative gamma are refused.

    Notes
    -----
    What the largest probability leaves is summed over the other classes, so that it keeps its
    digits.  With gamma 0 this is :func:`anymax.cross_entropy`, masks and edges included.  Two
    classes are not the sigmoid form with its alpha: that weighs negatives with 1 - alpha, this
    takes a weight a class.

    .. math:: \partial\ell/\partial z_j = w_y\big(\gamma p_y(1-p_y)^{\gamma-1}\log p_y
              -(1-p_y)^\gamma\big)([j=y]-p_j)

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.log(np.asarray([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
    >>> np.round(am.softmax_focal_loss(logits, np.asarray([0, 1]), reduction="none"), 6)
    array([0.173287, 0.01798 ])

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal Loss for Dense Object
       Detection", ICCV 2017. arXiv:1708.02002.
    """
    name = "softmax_focal_loss"
    gamma = number(name, "gamma", gamma, AT_LEAST_ZERO)
    smoothing = check_smoothing(name, label_smoothing)
    c = classes(
        name, logits, target, axis=axis, where=where, weight=weight,
        ignore_index=ignore_index, reduction=reduction, soft=False,
    )  # fmt: skip
    xp = c.xp
    t = weighted_target(xp, c.logits, c.target, c.where, c.weight, smoothing)
    cost = -c.log_softmax()
    if gamma:
        cost = cost * power(xp, rest(xp, c.softmax()), gamma)
    part = c.keep & (t != 0)
    loss = xp.sum(select(xp, part, select(xp, part, cost) * t), axis=-1)
    hopeless = c.live & xp.any((t > 0) & ~c.keep, axis=-1)
    loss = loss + select(xp, hopeless, xp.full_like(loss, xp.inf))
    return _array.cast(
        xp, _mean(c, loss) if reduction == "mean" else _kept(c, loss, reduction), c.dtype
    )


def _kept(c: Classes, loss: Array, reduction: str) -> Array:
    return reduced(c.xp, loss, reduction, live=c.live)


def _mean(c: Classes, loss: Array) -> Array:
    """The mean of losses that hold class weights already, over the weights of the targets."""
    if c.weight is None:
        return _kept(c, loss, "mean")
    count = c.xp.sum(c.probabilities() * c.weight, axis=-1)
    return mean_over(c.xp, _kept(c, loss, "sum"), _kept(c, count, "sum"))
