"""Learning to rank: losses on lists of scores, given the relevance of their items."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import mean_over, reduced
from anymax.losses.ranking._lambda import SCHEMES, pair_losses, pair_weights
from anymax.losses.ranking._lists import (
    both,
    discounts,
    gains,
    lists,
    pairs,
    ranks,
    softplus,
)
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_log_softmax, row_softmax
from anymax.softmaxes._operands import check_count
from anymax.softmaxes._rows import positive
from anymax.softmaxes.structured._log_sigmoid import sigmoid

_SHAPES = "scores: ... C, target: ... C -> "


@form(
    shapes=_SHAPES,
    cost="O(n)",
    primitives=("row_log_softmax", "row_softmax"),
)
def list_net_loss(
    scores: Array,
    target: Array,
    /,
    *,
    softmax_target: bool = True,
    eps: float = 0.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy between the softmax of the relevance and that of the scores.

    .. math:: \ell_b = -\sum_i t_{bi} \log \operatorname{softmax}(s_b)_i, \qquad
              t_b = \operatorname{softmax}(r_b) \text{ or } r_b

    Parameters
    ----------
    scores : array (..., n)
        Scores :math:`s` of the items of each list.
    target : array (..., n)
        Relevance :math:`r`; integers are grades.
    softmax_target : bool
        Whether relevance goes through a softmax (ListNet) or is taken as it is (optax's
        ``ranking_softmax_loss``).
    eps : float
        Added to the softmax inside the logarithm (allRank: 1e-10, which caps an item's cost).
    axis : int
        The axis of the items.
    where : boolean array, broadcastable to `scores`
        True for items, False for padding.
    weight : array, broadcastable to (...)
        Weights of the lists; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the lists.

    Returns
    -------
    array () or (...)
        The loss, or one loss a list with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument is not an array of numbers, `where` is not boolean.
    ValueError
        A shape, `eps` or reduction that does not fit.

    Notes
    -----
    Least where scores and relevance differ by a constant.  A relevant item with score -inf costs
    +inf.  A list without items costs 0 and is left out of the mean.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> scores, relevance = np.asarray([[2.0, 1.0, 0.0]]), np.asarray([[1, 0, 0]])
    >>> round(float(am.list_net_loss(scores, relevance, softmax_target=False)), 6)
    0.407606
    >>> round(float(am.list_net_loss(scores, relevance)), 6)
    1.043431

    References
    ----------
    .. [1] Z. Cao et al., "Learning to rank: from pairwise approach to listwise approach", 2007.
    """
    name = "list_net_loss"
    eps = _eps(name, eps)
    a = lists(name, scores, target, axis=axis, where=where, weight=weight, reduction=reduction)
    xp, rows = a.xp, (a.scores.ndim - 1,)
    t, seen = a.relevance, a.keep | a.unseen
    if softmax_target:
        t = row_softmax(t, seen, axis=rows, scale=1.0)
    if eps:
        used = seen & a.live[..., None]
        logp = xp.log(row_softmax(a.scores, a.keep, axis=rows, scale=1.0) + eps)
        loss = -xp.sum(select(xp, used, t * logp), axis=-1)
    else:
        logp = select(xp, a.keep, row_log_softmax(a.scores, a.keep, axis=rows, scale=1.0))
        loss = -xp.sum(select(xp, a.keep, t) * logp, axis=-1)
        lost = a.live & xp.any(a.unseen & (t != 0), axis=-1)
        loss = loss + select(xp, lost, xp.full_like(loss, xp.inf))
    return a.finish(loss, reduction)


@form(shapes=_SHAPES, cost="O(n^2) for n items")
def rank_net_loss(
    scores: Array,
    target: Array,
    /,
    *,
    sigma: float = 1.0,
    weighted: bool = False,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Mean surprise at the order of pairs of items with different relevance.

    .. math:: L = \frac{1}{|P|} \sum_{(i,j) \in P} w_{ij}
              \log\bigl(1 + e^{-\sigma(s_i - s_j)}\bigr), \qquad P = \{(i, j) : r_i > r_j\}

    Parameters
    ----------
    scores : array (..., n)
        Scores :math:`s` of the items of each list.
    target : array (..., n)
        Relevance :math:`r`; integers are grades.
    sigma : float
        :math:`\sigma`, positive.
    weighted : bool
        Whether :math:`w_{ij} = r_i - r_j` rather than 1.
    axis : int
        The axis of the items.
    where : boolean array, broadcastable to `scores`
        True for items, False for padding.
    weight : array, broadcastable to (...)
        Weights of the lists, that is, of all their pairs.
    reduction : {"mean", "sum", "none"}
        The mean is over all pairs of the batch (allRank); "none" gives the mean over the pairs of
        each list, "sum" adds those up.

    Returns
    -------
    array () or (...)
        The loss, or one loss a list with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument is not an array of numbers, `where` is not boolean.
    ValueError
        A shape, `sigma` or reduction that does not fit.

    Notes
    -----
    Without a pair the loss is 0 (allRank: NaN).  An item with score -inf takes no part.  Time and
    memory are those of all pairs of a list.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> scores, relevance = np.asarray([[2.0, 1.0, 0.0]]), np.asarray([[1, 0, 0]])
    >>> round(float(am.rank_net_loss(scores, relevance)), 6)
    0.220095

    References
    ----------
    .. [1] C. Burges et al., "Learning to rank using gradient descent", 2005.
    """
    name = "rank_net_loss"
    sigma = positive(name, "sigma", sigma)
    a = lists(name, scores, target, axis=axis, where=where, weight=weight, reduction=reduction)
    xp, gap = a.xp, _array.stop_gradient(pairs(a.relevance))
    some = both(a.keep) & (gap > 0)
    loss = softplus(xp, select(xp, some, -sigma * pairs(a.scores)))
    if weighted:
        loss = loss * gap
    total = xp.sum(select(xp, some, loss), axis=(-2, -1))
    count = xp.sum(xp.astype(some, total.dtype), axis=(-2, -1))
    if reduction == "mean":
        total = select(xp, ~a.bad, total, xp.nan)
        sums = (reduced(xp, z, "sum", live=a.live, weight=a.weight) for z in (total, count))
        y = mean_over(xp, *sums)
        return _array.cast(xp, y, a.dtype)
    return a.finish(mean_over(xp, total, count), reduction)


@form(shapes=_SHAPES, papers=("classic",), cost="O(n^2) for n items")
def lambda_loss(
    scores: Array,
    target: Array,
    /,
    *,
    scheme: str = "lambdarank",
    k: int | None = None,
    sigma: float = 1.0,
    mu: float = 10.0,
    eps: float = 0.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Surprise at the order of pairs, weighted by what swapping them changes of the NDCG.

    .. math:: \ell = \sum_{r_i > r_j} w_{ij} \log_2\bigl(1 + e^{-\sigma(s_i - s_j)}\bigr), \qquad
              w_{ij} = \Bigl|\frac1{D_i} - \frac1{D_j}\Bigr| \, |G_i - G_j|

    with gains :math:`G = (2^r - 1) / \text{maxDCG@}k` and discounts
    :math:`D = \log_2(1 + \text{rank})`.

    Parameters
    ----------
    scores : array (..., n)
        Scores :math:`s` of the items of each list.
    target : array (..., n)
        Relevance :math:`r`, not negative; integers are grades.  A constant.
    scheme : {"lambdarank", "ndcgLoss1", "ndcgLoss2", "ndcgLoss2++", "ranknet"}
        The weights: as above; :math:`G_i/D_i` over all pairs, (i, i) too;
        :math:`|1/D_{|i-j|} - 1/D_{|i-j|+1}|\,|G_i - G_j|`, i and j ranks; `mu` times that and
        lambdarank's; 1.
    k : int, optional
        Only the first `k` places count.
    sigma : float
        :math:`\sigma`, positive.
    mu : float
        Weight of ndcgLoss2 in ndcgLoss2++.
    eps : float
        Cap each probability, and its power, from below (allRank: 1e-10).
    axis : int
        The axis of the items.
    where : boolean array, broadcastable to `scores`
        True for items, False for padding.
    weight : array, broadcastable to (...)
        Weights of the lists; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the lists (allRank: "sum").

    Returns
    -------
    array () or (...)
        The loss, or one loss a list with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument is not an array of numbers, `where` is not boolean.
    ValueError
        Another scheme, a shape, `k`, `sigma`, `eps` or reduction that does not fit.

    Notes
    -----
    Weights are constants: no derivative goes through the order.  Items with equal scores are ranked
    by index.  A list without relevance costs 0 (but for "ranknet"); an item with score -inf takes
    no part.  Time and memory are those of all pairs of a list.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> scores, relevance = np.asarray([[2.0, 1.0, 0.0]]), np.asarray([[0, 2, 1]])
    >>> round(float(am.lambda_loss(scores, relevance)), 6)
    1.032893

    References
    ----------
    .. [1] C. Burges, R. Ragno, Q. Le, "Learning to rank with nonsmooth cost functions", 2006.
    .. [2] X. Wang et al., "The LambdaLoss framework for ranking metric optimization", 2018,
       section 4.
    """
    name = "lambda_loss"
    if scheme not in SCHEMES:
        said = ", ".join(map(repr, SCHEMES))
        raise ValueError(f"{name}: scheme is {scheme!r}; one of {said} fits")
    k = None if k is None else check_count(name, "k", k)
    sigma, mu, eps = positive(name, "sigma", sigma), positive(name, "mu", mu), _eps(name, eps)
    a = lists(name, scores, target, axis=axis, where=where, weight=weight, reduction=reduction)
    xp = a.xp
    w, some = pair_weights(a, scheme, k, mu)
    d = select(xp, some, sigma * pairs(a.scores))
    loss = select(xp, some, pair_losses(xp, d, select(xp, some, w), eps))
    return a.finish(xp.sum(loss, axis=(-2, -1)), reduction)


@form(shapes=_SHAPES, cost="O(n^2) for n items")
def approx_ndcg_loss(
    scores: Array,
    target: Array,
    /,
    *,
    alpha: float = 1.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Minus the NDCG with ranks counted by sigmoids.

    .. math:: \ell = -\sum_i \frac{G_i}{\log_2(1 + \pi_i)}, \qquad
              \pi_i = 1 + \sum_{j \ne i} \sigma\bigl(-\alpha(s_i - s_j)\bigr)

    Parameters
    ----------
    scores : array (..., n)
        Scores :math:`s` of the items of each list.
    target : array (..., n)
        Relevance :math:`r`, not negative, of gains :math:`G = (2^r - 1) / \text{maxDCG}`; integers
        are grades.  A constant.
    alpha : float
        :math:`\alpha`, positive: the larger, the nearer to the ranks.
    axis : int
        The axis of the items.
    where : boolean array, broadcastable to `scores`
        True for items, False for padding.
    weight : array, broadcastable to (...)
        Weights of the lists; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the lists.

    Returns
    -------
    array () or (...)
        The loss, from -1 to 0, or one loss a list with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument is not an array of numbers, `where` is not boolean.
    ValueError
        A shape, `alpha` or reduction that does not fit.

    Notes
    -----
    A list without relevance costs 0 and counts in the mean; one without items does not.  An item
    with score -inf takes no part.  Time and memory are those of all pairs of a list.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> scores, relevance = np.asarray([[2.0, 1.0, 0.0]]), np.asarray([[0, 2, 1]])
    >>> round(float(am.approx_ndcg_loss(scores, relevance)), 6)
    -0.669947
    >>> round(float(am.approx_ndcg_loss(scores, relevance, alpha=100.0)), 6)
    -0.659002

    References
    ----------
    .. [1] T. Qin, T.-Y. Liu, H. Li, "A general approximation framework for direct optimization of
       information retrieval measures", 2010.
    """
    name = "approx_ndcg_loss"
    alpha = positive(name, "alpha", alpha)
    a = lists(name, scores, target, axis=axis, where=where, weight=weight, reduction=reduction)
    xp = a.xp
    place = xp.astype(_array.arange(xp, a.scores.shape[-1], a.scores), a.scores.dtype)
    some = both(a.keep) & (pairs(place) != 0)
    above = sigmoid(xp, select(xp, some, -alpha * pairs(a.scores)))
    position = 1 + xp.sum(select(xp, some, above), axis=-1)
    return a.finish(-xp.sum(gains(a) / discounts(xp, position), axis=-1), reduction)


@form(shapes="scores: ... C, target: ... C -> ...", cost="O(n log n) for n items")
def ndcg(
    scores: Array,
    target: Array,
    /,
    *,
    k: int | None = None,
    axis: int = -1,
    where: Array | None = None,
) -> Array:
    r"""Gain of a ranking, discounted with the places, over that of the best ranking.

    .. math:: \mathrm{NDCG@}k = \frac{\mathrm{DCG@}k}{\max \mathrm{DCG@}k}, \qquad
              \mathrm{DCG@}k = \sum_{\text{rank}_i \le k}
              \frac{2^{r_i} - 1}{\log_2(1 + \text{rank}_i)}

    Parameters
    ----------
    scores : array (..., n)
        Scores of the items of each list.
    target : array (..., n)
        Relevance :math:`r`, not negative; integers are grades.
    k : int, optional
        Only the first `k` places count.
    axis : int
        The axis of the items.
    where : boolean array, broadcastable to `scores`
        True for items, False for padding.

    Returns
    -------
    array (...)
        From 0 to 1.  A constant: nothing is differentiated.

    Raises
    ------
    TypeError
        An argument is not an array of numbers, `where` is not boolean.
    ValueError
        A shape or `k` that does not fit.

    Notes
    -----
    Items with equal scores are ranked by index; an item with score -inf takes no part.  A list
    without relevance, or without items, has NDCG 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> scores, relevance = np.asarray([2.0, 1.0, 0.0]), np.asarray([0, 2, 1])
    >>> round(float(am.ndcg(scores, relevance)), 6)
    0.659002
    >>> float(am.ndcg(scores, relevance, k=1))
    0.0

    References
    ----------
    .. [1] K. Jarvelin, J. Kekalainen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    k = None if k is None else check_count("ndcg", "k", k)
    a = lists("ndcg", scores, target, axis=axis, where=where)
    place = ranks(a.xp, a.scores, a.keep)
    first = a.keep if k is None else a.keep & (place <= k)
    gain = select(a.xp, first, gains(a, k) / discounts(a.xp, place))
    return a.finish(a.xp.sum(gain, axis=-1), "none")


def _eps(name: str, eps: Any) -> float:
    if _array.is_scalar(eps) and not eps:
        return 0.0
    return positive(name, "eps", eps)
