"""Losses that a wrong label sways less, and polynomials on top of cross entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import Classes, classes
from anymax.losses.classification._costs import beside, by_example, cross_entropies
from anymax.losses.classification._rest import power
from anymax.primitives._masked import select
from anymax.softmaxes.sparse._parameters import AT_LEAST_ZERO, Bound, number

_FINITE = Bound(-math.inf, False, "a finite number")
_NOT_POSITIVE = Bound(-math.inf, False, "a finite number, not positive,", 0.0)
_SHARE = Bound(0.0, True, "a number in (0, 1]", 1.0)


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=("2204.12511",),
    cost="O(n)",
    primitives=("row_cross_entropy", "row_softmax"),
)
def poly_loss(
    logits: Array,
    target: Array,
    /,
    *,
    epsilon: float | Array | Sequence[float | Array] = 2.0,
    gamma: float = 0.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy with a polynomial of what the target's probability lacks to 1.

    .. math:: \ell_n = (1-P_n)^\gamma\,\Big(-\sum_c t_{nc}\log p_{nc}
              + \sum_j\epsilon_j\,(1-P_n)^j\Big),\qquad P_n = \sum_c t_{nc}\,p_{nc}

    Parameters
    ----------
    logits : array (..., C)
        Unnormalised log-probabilities, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities.
    epsilon : float, array (...), or tuple of these
        Coefficient of the first power (Poly-1), or those of the powers 1, 2, ...; arrays broadcast
        to the unreduced loss and are differentiated too.
    gamma : float
        Focus, not negative; above 0 this is Poly-Focal.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
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
        As :func:`anymax.cross_entropy`; a negative gamma is refused.

    Notes
    -----
    With epsilon 0 this is cross entropy, with gamma the focal loss.  The paper takes epsilon 2 for
    ImageNet and -1 for detection.  What P lacks to 1 is summed over the other classes,
    :math:`\sum_c(1-t_c)p_c`, and keeps its digits; optax has :math:`\sum_c t_c(1-p_c)`, the same
    for targets that sum to one.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.log(np.asarray([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
    >>> am.poly_loss(logits, np.asarray([0, 1]), reduction="none")
    array([1.69314718, 0.78768207])

    References
    ----------
    .. [1] Z. Leng et al., "PolyLoss: A Polynomial Expansion Perspective of Classification Loss
       Functions", ICLR 2022. arXiv:2204.12511.
    """
    name = "poly_loss"
    gamma = number(name, "gamma", gamma, AT_LEAST_ZERO)
    given = epsilon if isinstance(epsilon, (tuple, list)) else (epsilon,)
    named = {f"epsilon {j}" if len(given) > 1 else "epsilon": e for j, e in enumerate(given, 1)}
    logits, *values = beside(name, logits, **named)
    c = classes(name, logits, target, axis=axis, where=where, weight=weight, reduction=reduction)
    xp, loss = c.xp, cross_entropies(c)
    lacks = _lacks(c)
    term = power(xp, lacks, gamma)
    if gamma:
        loss = loss * term
    for label, value in zip(named, values, strict=True):
        term = term * lacks
        loss = loss + _coefficient(name, label, value, c) * term
    return c.finish(loss, reduction, infinite=False)


def _coefficient(function: str, name: str, value: Any, c: Classes) -> Any:
    if _array.is_scalar(value):
        return number(function, name, value, _FINITE)
    return by_example(function, name, value, c)


def _lacks(c: Classes) -> Array:
    """1 - sum_c t_c p_c, summed over what is not the target."""
    others = 1.0 - select(c.xp, c.keep, c.probabilities())
    return c.xp.sum(others * c.softmax(), axis=-1)


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=("1805.07836",),
    cost="O(n)",
    primitives=("row_log_softmax",),
)
def generalized_cross_entropy(
    logits: Array,
    target: Array,
    /,
    *,
    q: float = 0.7,
    truncate: float | None = None,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Box-Cox loss of the target's probability, between cross entropy and the absolute error.

    .. math:: \ell_n = \frac{1-p_{n y_n}^q}{q},\qquad
              \text{truncated at } k:\ \ell_n = \frac{1-k^q}{q}\ \text{ where } p_{n y_n}\le k

    Parameters
    ----------
    logits : array (..., C)
        Unnormalised log-probabilities, the C classes on `axis`.
    target : integer array (...)
        Class indices.
    q : float
        In (0, 1]: near 0 cross entropy, 1 half of the absolute error.
    truncate : float or None
        The probability k in (0, 1] up to which an example is given up (0.5 in the paper).
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``, at most 1 / q each.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; floating targets, and a q or threshold outside (0, 1] are
        refused.

    Notes
    -----
    Taken from log-probabilities by ``expm1``, so that a small q costs no digits.  The gradient is
    that of cross entropy times :math:`p_y^q`.  A target class that is masked, or whose logit is
    -inf, has probability 0 and costs the most there is, not infinity.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.log(np.asarray([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
    >>> am.generalized_cross_entropy(logits, np.asarray([0, 1]), q=1.0, reduction="none")
    array([0.5 , 0.25])

    References
    ----------
    .. [1] Z. Zhang, M. R. Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural
       Networks with Noisy Labels", NeurIPS 2018. arXiv:1805.07836.
    """
    name = "generalized_cross_entropy"
    q = number(name, "q", q, _SHARE)
    c = classes(
        name, logits, target, axis=axis, where=where, weight=weight, reduction=reduction, soft=False
    )
    xp, most = c.xp, 1.0 / q
    logp = c.at_target(c.log_softmax())
    loss = -xp.expm1(q * logp) / q
    if truncate is not None:
        log_k = math.log(number(name, "truncate", truncate, _SHARE))
        most = -math.expm1(q * log_k) / q
        loss = xp.where(logp <= log_k, xp.full_like(loss, most), loss)
    loss = loss + select(xp, c.hopeless, xp.full_like(loss, most))  # of probability 0
    return c.finish(loss, reduction, infinite=False)


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=("1908.06112",),
    cost="O(n)",
    primitives=("row_cross_entropy", "row_softmax"),
)
def symmetric_cross_entropy(
    logits: Array,
    target: Array,
    /,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of targets and predictions, and of predictions and targets.

    .. math:: \ell_n = -\alpha\sum_c t_{nc}\log p_{nc}
              -\beta\sum_c p_{nc}\max(\log t_{nc}, A)

    Parameters
    ----------
    logits : array (..., C)
        Unnormalised log-probabilities, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities.
    alpha, beta : float
        Weights of the two terms, not negative.
    log_zero : float
        What log 0 counts as, A: -4 here, -6 with alpha 0.1 in the paper's CIFAR-10 runs,
        log 1e-4 = -9.21 in its code.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
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
        As :func:`anymax.cross_entropy`; negative weights and a positive `log_zero` are refused.

    Notes
    -----
    For a class index the second term is :math:`-A\beta(1-p_y)`: bounded, and the same sum over all
    labels whatever p is, which makes it robust to noise.  No smaller probability than 0 may cost
    less than it, so A bounds all logarithms, as in the authors' code; there p is clamped at 1e-7,
    too.  The constants stand as remembered from the paper, which is why all three are arguments.
    A target class that is masked costs infinity, unless alpha is 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.log(np.asarray([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
    >>> am.symmetric_cross_entropy(logits, np.asarray([0, 1]), reduction="none")
    array([2.06931472, 1.02876821])

    References
    ----------
    .. [1] Y. Wang, X. Ma, Z. Chen, Y. Luo, J. Yi, J. Bailey, "Symmetric Cross Entropy for Robust
       Learning with Noisy Labels", ICCV 2019. arXiv:1908.06112.
    """
    name = "symmetric_cross_entropy"
    alpha = number(name, "alpha", alpha, AT_LEAST_ZERO)
    beta = number(name, "beta", beta, AT_LEAST_ZERO)
    floor = number(name, "log_zero", log_zero, _NOT_POSITIVE)
    c = classes(name, logits, target, axis=axis, where=where, weight=weight, reduction=reduction)
    xp, t = c.xp, select(c.xp, c.keep, c.probabilities())
    some = t > math.exp(floor)
    log_t = select(xp, some, xp.log(select(xp, some, t, 1.0)), floor)
    loss = -beta * xp.sum(c.softmax() * log_t, axis=-1)
    if alpha:
        loss = loss + alpha * cross_entropies(c)
    return c.finish(loss, reduction, infinite=False)
