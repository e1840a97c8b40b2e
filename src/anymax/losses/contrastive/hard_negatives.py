"""Contrastive loss with hard negatives beside each positive, and their selection."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses.contrastive import _saha, _views
from anymax.losses.contrastive._views import others, over, surprise, views
from anymax.softmaxes._operands import check_count


@form(
    shapes="query: N D, key: M D -> ",
    papers=("2508.00955",),
    cost="O(N M D) time, O((N + M) D) memory on a CPU",
    primitives=("pairwise_logsumexp",),
)
def info_nce_hard_negatives(
    query: Array,
    key: Array,
    /,
    *,
    num_negatives: int = 0,
    positive: Array | None = None,
    temperature: float | Array = 0.02,
    normalize: bool = True,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of finding each query's positive among all positives and hard negatives.

    .. math::

        \ell_i = \log\sum_j e^{z_{ij}} - z_{i,\pi(i)},\qquad
        z_{ij} = \langle q_i, k_j\rangle / T

    Parameters
    ----------
    query : array (N, D)
        Vectors.
    key : array (M, D)
        For each query its positive and then its h hard negatives, M = N (1 + h).
    num_negatives : int
        The number h, if `positive` isn't given.
    positive : integer array (N,)
        Row of `key` that is each query's positive, where their numbers differ; -1 leaves a query
        out.  None: row i (1 + h).
    temperature : float or array
        :math:`T > 0`; an array, a scalar or of the shape (N,), is differentiated too.
    normalize : bool
        Divide vectors by their lengths first, so that products are cosines.
    where : boolean array, broadcastable to (N, M)
        True where a logit takes part.
    weight : array, broadcastable to (N,)
        Weights of the queries.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (N,)
        A scalar, or per-query losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.info_nce`; keys that are not N (1 + h).
    IndexError
        A positive outside [0, M) other than -1 (on arrays whose values are at hand).

    Notes
    -----
    Every key of every query is a negative of all others.  Without hard negatives this is one
    direction of :func:`anymax.info_nce`, whose notes on cost and edges hold here.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> q = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> k = np.asarray([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> round(float(am.info_nce_hard_negatives(q, k, num_negatives=1, temperature=1.0)), 6)
    0.816466

    References
    ----------
    .. [1] Y. Ju, D. Lee, "From generator to embedder: harnessing innate abilities of multimodal
       LLMs via building zero-shot discriminative embedding model", 2025. arXiv:2508.00955.
    """
    name = "info_nce_hard_negatives"
    v = views(
        name, "query: N D, key: M D", query=query, key=key, temperature=temperature,
        others={"positive": positive}, where=where, weight=weight, reduction=reduction,
    )  # fmt: skip
    xp, (q, k, t) = v.xp, v.arrays
    if normalize:
        q, k = _views.normalized(xp, q), _views.normalized(xp, k)
    n, m = q.shape[-2], k.shape[-2]
    where = _views.mask_of(xp, name, where, (n, m))
    t = _views.heat(v, name, t, (n,), where)
    if positive is None:
        step = 1 + check_count(name, "num_negatives", num_negatives, 0)
        _check_keys(name, n, m, step)
        place, mine = _array.arange(xp, n, q) * step, k[::step, :]
    else:
        place, valid = _saha.places(xp, name, positive, n, m)
        mine = _saha.rows_at(xp, k, place)
        where = valid[:, None] if where is None else where & valid[:, None]
    keep = None if where is None else _views.allowed(xp, where, place)
    own = over(_views.dots(xp, q, mine, keep), t)
    columns = _array.arange(xp, m, q, dtype=place.dtype)
    lse, _ = others(q, k, where, t, place, columns, groups="different")
    loss, live = surprise(xp, lse, own, keep)
    return v.finish(loss, reduction, None if where is None else live)


def _check_keys(name: str, n: int, m: int, step: int) -> None:
    if m != n * step and m == m and n == n:
        raise ValueError(
            f"{name}: key has {m} rows for {n} queries with {step - 1} negatives each; "
            f"{n * step} fit"
        )


@form(
    shapes="query: N D, candidates: M D, positive: N -> A, A K",
    papers=("2508.00955",),
    cost="O(N M D)",
    level="module",
)
def self_aware_hard_negatives(
    query: Array,
    candidates: Array,
    positive: Array,
    /,
    *,
    k: int = 7,
    pool_factor: int = 5,
    first_n: int | None = None,
    labelled: bool = False,
    used: Array | None = None,
) -> tuple[Array, Array]:
    r"""Clusters of queries whose positives are hard negatives of one another, chosen greedily.

    .. math:: \text{owners}(q) = \{o : \pi(o)\in\operatorname{top}(q)\},\qquad
              N_q = \operatorname{argmin}^{k}_{o\in\text{owners}(q)} \langle q, o\rangle

    Parameters
    ----------
    query : array (N, D)
        Vectors of the queries, in the order of the data.
    candidates : array (M, D)
        Vectors of what they look for.
    positive : integer array (N,)
        Row of `candidates` that is each query's positive; several queries may own one.
    k : int
        Hard negatives of a query, at most.
    pool_factor : int
        Twice this times `k` candidates are looked at.
    first_n : int
        Owners to stop at.  None: `pool_factor` times `k`.
    labelled : bool
        Take the owners in the order of their candidates: for classes, where like queries are no
        false negatives.
    used : boolean array (N,)
        Queries that are neither anchors nor negatives any more.

    Returns
    -------
    anchors : integer array (A,)
        Queries that got hard negatives.
    negatives : integer array (A, K)
        Queries whose positives are theirs, padded with -1.

    Raises
    ------
    TypeError
        Arrays whose values cannot be looked at (traced, lazy, on a GPU), or of another dtype.
    ValueError
        Shapes that do not fit; counts below 1.
    IndexError
        A positive outside [0, M).

    Notes
    -----
    For each query q that is free: rank the candidates by their product with q, its own left out;
    for each find its free owner most like q, until there are `first_n`; keep the k owners *least*
    like q, as a query that is like q too has a candidate that may be right for both; mark q and
    them.  Ties go to the lowest index.  This is preparation of data, on the host and in float64,
    and nothing is differentiated.  It is the first of the official code's two passes: the second,
    over what is left and with queries allowed twice, isn't offered.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> anchors, negatives = am.losses.self_aware_hard_negatives(x, x, np.arange(4), k=1)
    >>> anchors.tolist(), negatives.tolist()
    ([0, 1], [[2], [3]])

    References
    ----------
    .. [1] Y. Ju, D. Lee, "From generator to embedder: harnessing innate abilities of multimodal
       LLMs via building zero-shot discriminative embedding model", 2025. arXiv:2508.00955.
    """
    name = "self_aware_hard_negatives"
    given = {"query": query, "candidates": candidates, "positive": positive}
    v = views(name, "query: N D, candidates: M D, positive: N", query=query, candidates=candidates,
              others={"positive": positive})  # fmt: skip
    xp = v.xp
    if used is not None:
        _array.check_mask(name, "used", used, (query.shape[0],), "the queries")
    if not _array.values_known(*given.values(), used):
        raise TypeError(f"{name}: an array is traced, lazy or on a GPU; known values fit")
    k = check_count(name, "k", k)
    width = k * check_count(name, "pool_factor", pool_factor)
    place, _ = _saha.places(xp, name, positive, query.shape[0], candidates.shape[0], missing=False)
    free = [True] * query.shape[0]
    if used is not None:
        free = [not x for x in _saha.host(xp, xp.broadcast_to(used, positive.shape)).tolist()]
    stop = width if first_n is None else check_count(name, "first_n", first_n)
    anchors, pool = v.arrays
    host = [_saha.host(xp, x) for x in (anchors, pool, place)]
    found = _saha.clusters(host[0], host[1], host[2], free, k, 2 * width, stop, labelled)
    device, dtype = _array.device(query), place.dtype
    anchors, negatives = (xp.asarray(x, dtype=dtype, device=device) for x in found)
    return anchors, negatives
