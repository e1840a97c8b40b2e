"""The hinge family: zero once a score leads by the margin, linear or square before."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import classes
from anymax.losses.margins._arguments import (
    check_power,
    indices_or_hot,
    multilabelled,
    number,
    positive_signs,
    signs,
)
from anymax.losses.margins._hinges import (
    count_of,
    excess,
    finish_by_count,
    hinge,
    pairwise_hinge,
    rivals,
    worst_excess,
)
from anymax.losses.margins._soft import soft_margin
from anymax.primitives._masked import select
from anymax.softmaxes._operands import operands


@form(shapes="scores: ..., target: ... -> ", cost="O(n)")
def hinge_loss(
    scores: Array,
    target: Array,
    /,
    *,
    margin: float = 1.0,
    power: int = 1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""What a signed score lacks of a margin on its right side.

    .. math:: \ell_n = \max(0,\; m - y_n s_n)^p

    Parameters
    ----------
    scores : array (...)
        Signed scores :math:`s`.
    target : array (...)
        Signs :math:`y`, -1 and +1, or booleans (True is +1).
    margin : float
        :math:`m`.
    power : {1, 2}
        :math:`p`; 2 is the squared hinge.
    where : boolean array, broadcastable to `scores`
        True where a score takes part.
    weight : array, broadcastable to `scores`
        Weights of the scores; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the scores.

    Returns
    -------
    array () or (...)
        The loss, or one loss a score with ``reduction="none"``.

    Raises
    ------
    TypeError
        `scores` or `target` is not an array of numbers, `where` is not boolean.
    ValueError
        A target other than -1 and +1 (0 is none: say ``target > 0``), another power.

    Notes
    -----
    The slope at the kink is 0.  A score of +inf on its right side costs 0, on its wrong side +inf.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.hinge_loss(np.asarray([2.0, 0.25, -1.0]), np.asarray([1, 1, 1]), reduction="none")
    array([0.  , 0.75, 2.  ])

    References
    ----------
    .. [1] C. Cortes, V. Vapnik, "Support-vector networks", 1995.
    """
    check_power("hinge_loss", power)
    margin = number("hinge_loss", "margin", margin)
    e = signs("hinge_loss", target, where, weight, reduction, scores=scores)
    s, y = e.arrays
    return e.finish(hinge(e.xp, margin - y * s, power), reduction)


@form(shapes="x: ..., target: ... -> ", cost="O(n)")
def hinge_embedding_loss(
    x: Array,
    target: Array,
    /,
    *,
    margin: float = 1.0,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Distances of like pairs, and what the distances of unlike pairs lack of a margin.

    .. math:: \ell_n = x_n \text{ if } y_n = 1,\quad \max(0,\; m - x_n) \text{ if } y_n = -1

    Parameters
    ----------
    x : array (...)
        Distances.
    target : array (...)
        +1 or True for pairs that are alike, -1 or False for others.
    margin : float
        :math:`m`.
    where : boolean array, broadcastable to `x`
        True where a pair takes part.
    weight : array, broadcastable to `x`
        Weights of the pairs; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the pairs.

    Returns
    -------
    array () or (...)
        The loss, or one loss a pair with ``reduction="none"``.

    Raises
    ------
    TypeError
        `x` or `target` is not an array of numbers, `where` is not boolean.
    ValueError
        A target other than -1 and +1.

    Notes
    -----
    The slope at the kink is 0, as in torch.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([0.5, 0.25, 3.0])
    >>> am.hinge_embedding_loss(x, np.asarray([1, -1, -1]), reduction="none")
    array([0.5 , 0.75, 0.  ])

    References
    ----------
    .. [1] R. Hadsell, S. Chopra, Y. LeCun, "Dimensionality reduction by learning an invariant
       mapping", 2006.
    """
    margin = number("hinge_embedding_loss", "margin", margin)
    e = signs("hinge_embedding_loss", target, where, weight, reduction, x=x)
    d, y = e.arrays
    return e.finish(e.xp.where(y > 0, d, hinge(e.xp, margin - d)), reduction)


@form(shapes="x1: ..., x2: ..., target: ... -> ", cost="O(n)")
def margin_ranking_loss(
    x1: Array,
    x2: Array,
    target: Array,
    /,
    *,
    margin: float = 0.0,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""What the difference of two scores lacks of a margin in the right order.

    .. math:: \ell_n = \max(0,\; m - y_n (x_{1n} - x_{2n}))

    Parameters
    ----------
    x1, x2 : array (...)
        Scores, which broadcast.
    target : array (...)
        +1 or True where `x1` should be larger, -1 or False where `x2` should.
    margin : float
        :math:`m`.
    where : boolean array, broadcastable to the scores
        True where a pair takes part.
    weight : array, broadcastable to the scores
        Weights of the pairs; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the pairs.

    Returns
    -------
    array () or (...)
        The loss, or one loss a pair with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument is not an array of numbers, `where` is not boolean.
    ValueError
        A target other than -1 and +1.

    Notes
    -----
    The slope at the kink is 0: with margin 0, equal scores get no gradient.  Two infinities of one
    sign give NaN.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x1, x2 = np.asarray([2.0, 0.5]), np.asarray([1.0, 1.0])
    >>> am.margin_ranking_loss(x1, x2, np.asarray([1, 1]), reduction="none")
    array([0. , 0.5])

    References
    ----------
    .. [1] R. Herbrich, T. Graepel, K. Obermayer, "Large margin rank boundaries for ordinal
       regression", 2000.
    """
    margin = number("margin_ranking_loss", "margin", margin)
    e = signs("margin_ranking_loss", target, where, weight, reduction, x1=x1, x2=x2)
    a, b, y = e.arrays
    return e.finish(hinge(e.xp, margin - y * (a - b)), reduction)


@form(shapes="logits: ... C, target: ... -> ", cost="O(n)")
def crammer_singer_loss(
    logits: Array,
    target: Array,
    /,
    *,
    margin: float = 1.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""What the target's score lacks of a margin over the best rival.

    .. math:: \ell_n = \max\bigl(0,\; m + \max_{j \ne y_n} s_{nj} - s_{n y_n}\bigr)

    Parameters
    ----------
    logits : array (..., C)
        Scores :math:`s`, the C classes on `axis`.
    target : integer array (...)
        Class indices :math:`y`.
    margin : float
        :math:`m`.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights; the mean divides by the sum of the targets' weights.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the examples.

    Returns
    -------
    array () or (...)
        The loss, or one loss an example with ``reduction="none"``.

    Raises
    ------
    TypeError
        `target` is not an integer array, `where` is not boolean.
    ValueError
        A shape or reduction that does not fit.
    IndexError
        A label outside [0, C) (on arrays whose values are at hand).

    Notes
    -----
    The gradient is :math:`e_j - e_y`, j the first of the highest rivals, and 0 at the kink.  The
    loss bounds the 0-1 loss from above with margin 1.  A target that is masked or -inf costs +inf.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.asarray([[3.0, 1.0, 0.0], [0.5, 1.0, 2.0]])
    >>> am.crammer_singer_loss(logits, np.asarray([0, 1]), reduction="none")
    array([0., 2.])

    References
    ----------
    .. [1] K. Crammer, Y. Singer, "On the algorithmic implementation of multiclass kernel-based
       vector machines", 2001.
    """
    margin = number("crammer_singer_loss", "margin", margin)
    c = classes(
        "crammer_singer_loss",
        logits,
        target,
        axis=axis,
        where=where,
        weight=weight,
        reduction=reduction,
        soft=False,
    )
    return c.finish(hinge(c.xp, worst_excess(c, margin)), reduction)


@form(shapes="logits: ... C, target: ... -> ", cost="O(n)")
def perceptron_loss(
    logits: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""By how much the best score exceeds the target's.

    .. math:: \ell_n = \max_j s_{nj} - s_{n y_n}

    Parameters
    ----------
    logits : array (..., C)
        Scores :math:`s`, the C classes on `axis`.
    target : integer array (...)
        Class indices :math:`y`.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights; the mean divides by the sum of the targets' weights.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the examples.

    Returns
    -------
    array () or (...)
        The loss, or one loss an example with ``reduction="none"``.

    Raises
    ------
    TypeError
        `target` is not an integer array, `where` is not boolean.
    ValueError
        A shape or reduction that does not fit.
    IndexError
        A label outside [0, C) (on arrays whose values are at hand).

    Notes
    -----
    The Crammer-Singer loss with margin 0; its smooth relative is cross entropy.  A target that
    ties with the best costs 0 and has gradient 0; among tied rivals the first gets the gradient.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.asarray([[3.0, 1.0, 0.0], [0.5, 1.0, 2.0]])
    >>> am.perceptron_loss(logits, np.asarray([0, 1]), reduction="none")
    array([0., 1.])

    References
    ----------
    .. [1] F. Rosenblatt, "The perceptron: a probabilistic model for information storage and
       organization in the brain", 1958.
    """
    c = classes(
        "perceptron_loss",
        logits,
        target,
        axis=axis,
        where=where,
        weight=weight,
        reduction=reduction,
        soft=False,
    )
    return c.finish(hinge(c.xp, worst_excess(c, 0.0)), reduction)


@form(shapes="logits: ... C, target: ... -> ", cost="O(n)")
def weston_watkins_loss(
    logits: Array,
    target: Array,
    /,
    *,
    margin: float = 1.0,
    power: int = 1,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""What the target's score lacks of a margin over each rival, summed.

    .. math:: \ell_n = \sum_{j \ne y_n} \max(0,\; m + s_{nj} - s_{n y_n})^p

    Parameters
    ----------
    logits : array (..., C)
        Scores :math:`s`, the C classes on `axis`.
    target : integer array (...)
        Class indices :math:`y`.
    margin : float
        :math:`m`.
    power : {1, 2}
        :math:`p`.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights; the mean divides by the sum of the targets' weights.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the examples.

    Returns
    -------
    array () or (...)
        The loss, or one loss an example with ``reduction="none"``.

    Raises
    ------
    TypeError
        `target` is not an integer array, `where` is not boolean.
    ValueError
        A shape, power or reduction that does not fit.
    IndexError
        A label outside [0, C) (on arrays whose values are at hand).

    Notes
    -----
    Not divided by the number of classes; :func:`multi_margin_loss` is.  With two classes it is the
    Crammer-Singer loss, with more it is at least that.  A target that is masked or -inf costs +inf.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.asarray([[3.0, 1.0, 0.0], [0.5, 1.0, 2.0]])
    >>> am.weston_watkins_loss(logits, np.asarray([0, 1]), reduction="none")
    array([0. , 2.5])

    References
    ----------
    .. [1] J. Weston, C. Watkins, "Support vector machines for multi-class pattern recognition",
       1999.
    """
    check_power("weston_watkins_loss", power)
    margin = number("weston_watkins_loss", "margin", margin)
    c = classes(
        "weston_watkins_loss",
        logits,
        target,
        axis=axis,
        where=where,
        weight=weight,
        reduction=reduction,
        soft=False,
    )
    loss = c.xp.sum(hinge(c.xp, excess(c, margin), power), axis=-1)
    return c.finish(loss, reduction)


@form(shapes="logits: ... C, target: ... -> ", cost="O(n)")
def multi_margin_loss(
    logits: Array,
    target: Array,
    /,
    *,
    margin: float = 1.0,
    power: int = 1,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""What the target's score lacks of a margin over each rival, over the number of classes.

    .. math:: \ell_n = \frac{w_{y_n}}{C} \sum_{j \ne y_n} \max(0,\; m + s_{nj} - s_{n y_n})^p

    Parameters
    ----------
    logits : array (..., C)
        Scores :math:`s`, the C classes on `axis`.
    target : integer array (...)
        Class indices :math:`y`.
    margin : float
        :math:`m`.
    power : {1, 2}
        :math:`p` (torch calls it p).
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights :math:`w`, by which losses are multiplied.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of examples, not by weights (as torch).

    Returns
    -------
    array () or (...)
        The loss, or one loss an example with ``reduction="none"``.

    Raises
    ------
    TypeError
        `target` is not an integer array, `where` is not boolean.
    ValueError
        A shape, power or reduction that does not fit.
    IndexError
        A label outside [0, C) (on arrays whose values are at hand).

    Notes
    -----
    As torch, it divides by C and not by the C - 1 rivals; C counts the classes that take part in
    the example.  A target that is masked or -inf costs +inf.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.asarray([[3.0, 1.0, 0.0, 2.5], [0.5, 1.0, 2.0, -1.0]])
    >>> am.multi_margin_loss(logits, np.asarray([0, 1]), reduction="none")
    array([0.125, 0.625])

    References
    ----------
    .. [1] J. Weston, C. Watkins, "Support vector machines for multi-class pattern recognition",
       1999.
    """
    check_power("multi_margin_loss", power)
    margin = number("multi_margin_loss", "margin", margin)
    c = classes(
        "multi_margin_loss",
        logits,
        target,
        axis=axis,
        where=where,
        weight=weight,
        reduction=reduction,
        soft=False,
    )
    loss = c.xp.sum(hinge(c.xp, excess(c, margin), power), axis=-1)
    return finish_by_count(c, loss / count_of(c.xp, c.keep, c.logits), reduction)


@form(shapes="logits: ... C, target: ... C -> ", cost="O(n log n) for n classes")
def multilabel_margin_loss(
    logits: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""What right classes lack of a margin of 1 over wrong ones, summed over all such pairs.

    .. math:: \ell_n = \frac{1}{C} \sum_{a \in P_n} \sum_{b \notin P_n}
              \max(0,\; 1 - (s_{na} - s_{nb}))

    Parameters
    ----------
    logits : array (..., C)
        Scores :math:`s`, the C classes on `axis`.
    target : boolean array (..., C) or integer array (..., K)
        Which classes are right, :math:`P`; or lists of them, padded with -1.
    axis : int
        The class axis, of the lists too.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the examples.

    Returns
    -------
    array () or (...)
        The loss, or one loss an example with ``reduction="none"``.

    Raises
    ------
    TypeError
        `target` is neither boolean nor integer, `where` is not boolean.
    ValueError
        A shape or reduction that does not fit.
    IndexError
        A class outside [0, C) (on arrays whose values are at hand).

    Notes
    -----
    C counts the classes that take part in the example.  A masked class is left out, right or wrong;
    a right class at -inf costs +inf.  torch stops at the first -1 of a list; here -1 is a gap
    anywhere.  Two sorts count the active pairs, so neither time nor memory is C squared.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.asarray([0.125, 0.25, 0.5, 0.75])
    >>> float(am.multilabel_margin_loss(logits, np.asarray([3, 0, -1, -1])))
    0.9375
    >>> float(am.multilabel_margin_loss(logits, np.asarray([True, False, False, True])))
    0.9375

    References
    ----------
    .. [1] A. Elisseeff, J. Weston, "A kernel method for multi-labelled classification", 2001.
    """
    c = multilabelled(
        "multilabel_margin_loss",
        logits,
        target,
        indices_or_hot("multilabel_margin_loss"),
        axis=axis,
        where=where,
        reduction=reduction,
    )
    right = c.keep & (c.target > 0)
    total = pairwise_hinge(c.xp, c.logits, right, rivals(c), 1.0)
    return c.finish(total / count_of(c.xp, c.keep, c.logits), reduction)


@form(shapes="logits: ... C, target: ... C -> ", cost="O(n)")
def multilabel_soft_margin_loss(
    logits: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Mean over the classes of the binary cross entropy of each.

    .. math:: \ell_n = -\frac1C \sum_c w_c \bigl( t_{nc} \log\sigma(s_{nc})
              + (1 - t_{nc}) \log\sigma(-s_{nc}) \bigr)

    Parameters
    ----------
    logits : array (..., C)
        Log-odds :math:`s`, the C classes on `axis`.
    target : floating or boolean array (..., C)
        Probabilities :math:`t`.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights :math:`w`, by which losses are multiplied.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of examples, not by weights (as torch).

    Returns
    -------
    array () or (...)
        The loss, or one loss an example with ``reduction="none"``.

    Raises
    ------
    TypeError
        `target` is neither floating nor boolean, `where` is not boolean.
    ValueError
        A shape or reduction that does not fit.

    Notes
    -----
    Classes are judged one by one, so infinite log-odds do not mask: they cost 0 when right, +inf
    when wrong.  C counts the classes that `where` keeps.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits, target = np.asarray([[0.0, 2.0]]), np.asarray([[1.0, 0.0]])
    >>> round(float(am.multilabel_soft_margin_loss(logits, target)), 6)
    1.410038

    References
    ----------
    .. [1] J. Nam et al., "Large-scale multi-label text classification: revisiting neural networks",
       2014.
    """
    return soft_margin(logits, target, axis, where, weight, reduction)


@form(shapes="logits: ... C, target: ... -> ", papers=("1709.03082", "1306.0239"), cost="O(n)")
def l2_svm_loss(
    logits: Array,
    target: Array,
    /,
    *,
    C: float = 1.0,
    w: Array | None = None,
    margin: float = 1.0,
    power: int = 2,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""One-vs-rest squared hinge, and half the squared norm of the output layer.

    .. math:: L = \tfrac12 \lVert w \rVert^2
              + C \operatorname*{reduce}_n \sum_k \max(0,\; m - t_{nk} s_{nk})^p

    Parameters
    ----------
    logits : array (..., K)
        Scores :math:`s`, the K classes on `axis`.
    target : integer array (...) or array (..., K)
        Class indices, which become signs :math:`t`; or the signs, -1 and +1, or booleans.
    C : float
        Weight of the hinge against the norm, positive.
    w : array, any shape
        Weights of the output layer, without its bias.
    margin : float
        :math:`m`.
    power : {1, 2}
        :math:`p`.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (K,)
        Class weights: an example counts as the classes that are right in it weigh together.
    reduction : {"mean", "sum", "none"}
        What is done with the hinges of the examples.

    Returns
    -------
    array () or (...)
        The loss; with ``reduction="none"`` one an example, each with the whole norm in it.

    Raises
    ------
    TypeError
        `target` is not an array of numbers, `where` is not boolean.
    ValueError
        Signs other than -1 and +1, a shape, power or reduction that does not fit.
    IndexError
        A label outside [0, K) (on arrays whose values are at hand).

    Notes
    -----
    The paper's code sums (``reduction="sum"``); its C = 0.5 is recalled, not confirmed.  Two
    classes use two columns.  Predict with ``argmax(logits)``: the code's ``argmax(sign(logits))``
    ties.  A label whose class is masked costs +inf, a masked sign is left out; a right class at
    -inf costs +inf.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.asarray([[2.0, -1.5, 0.5], [0.0, 1.0, -1.0]])
    >>> float(am.l2_svm_loss(logits, np.asarray([0, 1]), reduction="sum"))
    3.25
    >>> float(am.l2_svm_loss(logits, np.asarray([0, 1]), w=np.ones((3, 2)), reduction="sum"))
    6.25

    References
    ----------
    .. [1] A. F. Agarap, "A neural network architecture combining gated recurrent unit (GRU) and
       support vector machine (SVM) for intrusion detection in network traffic data", 2018,
       section 3. arXiv:1709.03082.
    .. [2] Y. Tang, "Deep learning using linear support vector machines", 2013, section 2.
       arXiv:1306.0239.
    """
    name = "l2_svm_loss"
    check_power(name, power)
    margin, C = number(name, "margin", margin), number(name, "C", C)
    _array.namespace(name, logits=logits, target=target, w=w)
    _array.required(name, logits=logits, target=target)
    options: dict[str, Any] = {
        "axis": axis,
        "where": where,
        "weight": weight,
        "reduction": reduction,
    }
    if _array.is_integer(target) and target.ndim != logits.ndim:
        c = classes(name, logits, target, soft=False, **options)
    else:
        c = multilabelled(name, logits, target, positive_signs(name), **options)
    xp = c.xp
    t = 2 * c.probabilities() - 1
    z = select(xp, c.keep, margin - t * c.logits)
    loss = C * c._replace(dtype=z.dtype).finish(xp.sum(hinge(xp, z, power), axis=-1), reduction)
    dtype = c.dtype
    if w is not None:
        dtype = _array.float_dtype(xp, (logits, w))
        (w,) = operands(name, w=w).arrays
        loss = loss + xp.sum(w * w) / 2
    return _array.cast(xp, loss, dtype)
