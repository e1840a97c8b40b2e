"""Softmax over more classes than can be scored: an index finds the top, samples stand for the rest.

And what is said of such indices: intrinsic dimension and recall.
"""

from __future__ import annotations

import math
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import class_axis, class_last
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses.contrastive import _views
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_logsumexp
from anymax.softmaxes._operands import check_count, common_shape, operands, spread


@form(
    shapes="top_logits: ... K, sample_logits: ... M -> ...",
    papers=("1603.09320",),
    cost="O(n)",
    level="module",
    primitives=("row_logsumexp",),
)
def top_k_tail_logsumexp(
    top_logits: Array, sample_logits: Array, /, *, num_classes: int, axis: int = -1
) -> Array:
    r"""Logsumexp of all classes, estimated from the k largest and a sample of the others.

    .. math:: \log\Big(\sum_{i\le k} e^{x_i} + \frac{n-k}{m}\sum_{j\le m} e^{y_j}\Big)

    Parameters
    ----------
    top_logits : array (..., K)
        Logits x of the k classes that an index found, on `axis`.
    sample_logits : array (..., M)
        Logits y of m classes drawn evenly from the n - k others, on `axis`; m may be 0 for n = k.
    num_classes : int
        The number n of all classes, at least k.
    axis : int
        The axis of the classes.

    Returns
    -------
    array (...)
        Estimates; -inf where every logit is.

    Raises
    ------
    TypeError, ValueError
        Shapes or dtypes that do not fit; fewer classes than logits; others, but no sample.

    Notes
    -----
    The sum inside the logarithm has the right mean over samples; its logarithm is too small on
    average.  With all classes found, k = n, this is :func:`anymax.logsumexp`.  A logit of -inf adds
    nothing but is counted in k and m, which are sizes.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> top, sample = np.log(np.asarray([5.0, 3.0])), np.log(np.asarray([1.0, 2.0]))
    >>> z = am.losses.top_k_tail_logsumexp(top, sample, num_classes=6)
    >>> round(float(np.exp(z)), 6)
    14.0

    References
    ----------
    .. [1] Y. Malkov, D. Yashunin, "Efficient and robust approximate nearest neighbor search using
       hierarchical navigable small world graphs", 2016 (the index). arXiv:1603.09320.
    """
    name = "top_k_tail_logsumexp"
    _array.required(name, top_logits=top_logits, sample_logits=sample_logits)
    o = operands(name, top_logits=top_logits, sample_logits=sample_logits)
    top, sample = o.arrays
    return o.finish(_estimate(o.xp, name, top, sample, num_classes, axis))


def _estimate(xp: Any, name: str, top: Array, sample: Array, n: int, axis: int) -> Array:
    n = check_count(name, "num_classes", n)
    top, sample = (_last(xp, name, x, axis) for x in (top, sample))
    k, m = top.shape[-1], sample.shape[-1]
    if n < k or (n > k and not m):
        raise ValueError(
            f"{name}: num_classes is {n}, with {k} logits found and {m} sampled; at least {k} "
            "fits, and more need a sample"
        )
    lse = row_logsumexp(top, None, axis=(top.ndim - 1,), scale=1.0)
    if n == k:
        rest = _views.Shape(sample.shape[:-1])
        return spread(xp, lse, common_shape(name, top_logits=lse, sample_logits=rest))
    rest = row_logsumexp(sample, None, axis=(sample.ndim - 1,), scale=1.0)
    return _views.added(xp, lse, rest + math.log((n - k) / m))


def _last(xp: Any, name: str, x: Array, axis: int) -> Array:
    return class_last(xp, x, class_axis(name, axis, x.ndim))


@form(
    shapes="target_logit: ..., top_logits: ... K, sample_logits: ... M -> ",
    papers=("1603.09320",),
    cost="O(n)",
    primitives=("row_logsumexp",),
)
def index_sampled_softmax_loss(
    target_logit: Array,
    top_logits: Array,
    sample_logits: Array,
    /,
    *,
    num_classes: int,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy whose normaliser is estimated from the k largest logits and a sample.

    .. math::

        \ell = \log\Big(\sum_{i\le k} e^{x_i} + \frac{n-k}{m}\sum_{j\le m} e^{y_j}\Big) - z

    Parameters
    ----------
    target_logit : array (...)
        Logit z of the true class.
    top_logits : array (..., K)
        Logits x of the k classes that an index found, among them the true class exactly once.
    sample_logits : array (..., M)
        Logits y of m classes drawn evenly from the n - k others.
    num_classes : int
        The number n of all classes.
    axis : int
        The axis of the classes in `top_logits` and `sample_logits`.
    where : boolean array, broadcastable to (...)
        True where an example takes part.
    weight : array, broadcastable to (...)
        Weights of the examples.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.losses.top_k_tail_logsumexp`; a reduction that does not fit.

    Notes
    -----
    With all classes found, k = n, this is :func:`anymax.cross_entropy`.  A true class with a logit
    of -inf costs +inf, unless all are -inf: such an example costs 0 and leaves the mean.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> top, sample = np.log(np.asarray([5.0, 3.0])), np.log(np.asarray([1.0, 2.0]))
    >>> loss = am.index_sampled_softmax_loss(top[1], top, sample, num_classes=6)
    >>> round(float(np.exp(-loss)), 6)
    0.214286

    References
    ----------
    .. [1] Y. Malkov, D. Yashunin, "Efficient and robust approximate nearest neighbor search using
       hierarchical navigable small world graphs", 2016 (the index). arXiv:1603.09320.
    """
    name = "index_sampled_softmax_loss"
    check_reduction(name, reduction)
    arrays = {
        "target_logit": target_logit, "top_logits": top_logits, "sample_logits": sample_logits,
    }  # fmt: skip
    _array.namespace(name, **arrays, where=where, weight=weight)
    _array.required(name, **arrays)
    o = operands(name, **arrays, weight=weight)
    xp, (z, top, sample, weight) = o.xp, o.arrays
    top, sample = (_last(xp, name, x, axis) for x in (top, sample))
    rows = (_views.Shape(x.shape[:-1]) for x in (top, sample))
    lead = common_shape(name, target_logit=z, **dict(zip(("top_logits", "sample_logits"), rows)))
    _array.check_mask(name, "where", where, lead, "the unreduced loss")
    if weight is not None:
        _array.check_broadcast(name, "weight", weight, lead, "the unreduced loss")
    if where is not None:
        top, sample = (select(xp, where[..., None], x) for x in (top, sample))
        z = select(xp, where, z)
    total = _estimate(xp, name, top, sample, num_classes, -1)
    live = total != -xp.inf
    some = z != -xp.inf
    loss = select(xp, live, total) - select(xp, some, z)
    loss = xp.where(some | ~live, loss, xp.full_like(loss, xp.inf))
    live = live if where is None else live & where
    return o.finish(reduced(xp, loss, reduction, live=live, weight=weight))


@form(
    shapes="distance: ... K -> ...",
    papers=("2405.17813",),
    cost="O(n)",
    level="module",
)
def lid_mle(
    distance: Array,
    /,
    *,
    axis: int = -1,
    estimator: str = "amsaleg",
    where: Array | None = None,
) -> Array:
    r"""Local intrinsic dimension, by maximum likelihood, from distances to the k nearest.

    .. math:: \Big(\frac1k\sum_{i\le k}\log\frac{r_k}{r_i}\Big)^{-1},\qquad r_k = \max_i r_i

    Parameters
    ----------
    distance : array (..., K)
        Distances r > 0 to the nearest neighbours, in any order, on `axis`.
    axis : int
        The axis of the neighbours.
    estimator : {"amsaleg", "levina_bickel", "levina_bickel_unbiased"}
        The number over the sum of logarithms: k (Amsaleg et al. 2015, used by the study), k - 1
        (Levina and Bickel 2004), or k - 2, without bias.
    where : boolean array, broadcastable to `distance`
        True where a neighbour takes part.

    Returns
    -------
    array (...)
        Estimates; +inf where all distances are equal, also that of a single neighbour; 0 where a
        distance is 0, and where there is no neighbour.

    Raises
    ------
    TypeError, ValueError, IndexError
        Shapes, dtypes or an estimator that do not fit.

    Notes
    -----
    Scaling all distances changes nothing.  For points spread evenly in a ball of d dimensions, the
    mean of the inverse estimates of Levina and Bickel is 1/d.  Gradients are 0 where the result is
    0 or +inf.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> r = np.asarray([1.0, 2.0, 4.0, 4.0])
    >>> round(float(am.losses.lid_mle(r) * np.log(2.0)), 6)
    1.333333

    References
    ----------
    .. [1] O. P. Elliott, J. Clark, "The impacts of data, ordering, and intrinsic dimensionality on
       recall in hierarchical navigable small worlds", 2024. arXiv:2405.17813.
    .. [2] E. Levina, P. Bickel, "Maximum likelihood estimation of intrinsic dimension", 2004.
    """
    name = "lid_mle"
    less = {"amsaleg": 0.0, "levina_bickel": 1.0, "levina_bickel_unbiased": 2.0}
    if estimator not in less:
        fits = ", ".join(map(repr, less))
        raise ValueError(f"{name}: estimator is {estimator!r}; one of {fits} fits")
    _array.namespace(name, distance=distance, where=where)
    _array.required(name, distance=distance)
    _array.check_mask(name, "where", where, distance.shape, "distance")
    o = operands(name, distance=distance)
    xp, (r,) = o.xp, o.arrays
    at = class_axis(name, axis, r.ndim)
    keep = xp.ones_like(r, dtype=xp.bool)
    if where is not None:
        keep = keep & where
    r, keep = class_last(xp, r, at), class_last(xp, keep, at)
    zero = xp.any(keep & (r == 0), axis=-1)
    live = keep & (r != 0)
    logs = xp.log(select(xp, live, r, 1.0))
    count = xp.sum(xp.astype(keep, r.dtype), axis=-1)
    if r.shape[-1]:
        top = xp.max(select(xp, live, logs, -xp.inf), axis=-1, keepdims=True)
        top = select(xp, top != -xp.inf, top)
    else:
        top = xp.zeros_like(count)[..., None]
    total = xp.sum(select(xp, live, top - logs), axis=-1)
    flat = total == 0
    lid = (count - less[estimator]) / select(xp, ~flat, total, 1.0)
    lid = xp.where(flat, xp.full_like(lid, xp.inf), lid)
    return o.finish(select(xp, (count > 0) & ~zero, lid))


@form(
    shapes="found: ... K, true: ... K -> ...",
    papers=("2405.17813",),
    cost="O(k^2)",
    level="module",
)
def recall_at_k(found: Array, true: Array, /, *, k: int | None = None) -> Array:
    r"""The share of the k true neighbours that were found.

    .. math:: |F \cap T| / |T|

    Parameters
    ----------
    found : integer array (..., K)
        Neighbours F that an index found, best first, -1 for missing ones.
    true : integer array (..., K)
        The true neighbours T, without repetition, -1 for missing ones.
    k : int
        Look at the first k of both only.  None: at all.

    Returns
    -------
    array (...)
        Shares from 0 to 1, of the library's default floating dtype; 0 where nothing is true.

    Raises
    ------
    TypeError, ValueError
        Arrays that are not integer, or whose leading axes do not broadcast; a k below 1.

    Notes
    -----
    A neighbour that was found twice counts once.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> found, true = np.asarray([4, 7, 1, -1]), np.asarray([7, 4, 3, 9])
    >>> float(am.losses.recall_at_k(found, true)), float(am.losses.recall_at_k(found, true, k=2))
    (0.5, 1.0)

    References
    ----------
    .. [1] O. P. Elliott, J. Clark, "The impacts of data, ordering, and intrinsic dimensionality on
       recall in hierarchical navigable small worlds", 2024. arXiv:2405.17813.
    """
    name = "recall_at_k"
    xp = _array.namespace(name, found=found, true=true)
    _array.required(name, found=found, true=true)
    lists = []
    for said, x in (("found", found), ("true", true)):
        if not _array.is_integer(x) or not x.ndim:
            raise TypeError(
                f"{name}: {said} has dtype {_array.dtype_name(x)} and shape "
                f"{_array.shape_text(x.shape)}; integers (..., k) fit"
            )
        x = _array.as_index(xp, x)
        lists.append(x if k is None else x[..., : check_count(name, "k", k)])
    common_shape(name, **{s: _views.Shape(x.shape[:-1]) for s, x in zip(("found", "true"), lists)})
    dtype = _array.default_float(xp)
    there = lists[1] != -1
    met = xp.any(lists[1][..., :, None] == lists[0][..., None, :], axis=-1) & there
    hits, count = (xp.sum(xp.astype(x, dtype), axis=-1) for x in (met, there))
    return hits / select(xp, count > 0, count, 1.0)
