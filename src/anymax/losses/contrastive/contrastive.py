"""Contrastive losses of batches of vectors: their B x B logits are never stored by the kernels."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._elements import elements
from anymax.losses.contrastive import _groups, _triplet, _views
from anymax.losses.contrastive._views import others, over, softplus, surprise, views
from anymax.primitives._masked import select
from anymax.primitives.pairwise_logsumexp import pairwise_softplus
from anymax.primitives.row_softmax import row_logsumexp


@form(
    shapes="query: ... B D, key: ... B D -> ",
    papers=("1807.03748", "2103.00020"),
    cost="O(B^2 D) time, O(B D) memory on a CPU",
    primitives=("pairwise_logsumexp",),
)
def info_nce(
    query: Array,
    key: Array,
    /,
    *,
    negatives: Array | None = None,
    temperature: float | Array = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of finding each query's own key among all keys of the batch (InfoNCE).

    .. math::

        \ell_i = \log\sum_j e^{z_{ij}} - z_{ii},\qquad
        z_{ij} = \langle q_i, k_j\rangle / T

    Parameters
    ----------
    query, key : array (..., B, D)
        Vectors; key i is the positive of query i, all others are its negatives.
    negatives : array (..., N, D) or (..., B, N, D)
        More negatives: of all queries, or (with one axis more than `query`) of each query its own.
    temperature : float or array
        :math:`T > 0`; an array, a scalar or of the shape (..., B), is differentiated too.
    normalize : bool
        Divide vectors by their lengths first, so that products are cosines.
    symmetric : bool
        CLIP: the mean of this loss and of that of finding each key's query.
    where : boolean array, broadcastable to (..., B, B) or (..., B, B + N)
        True where a logit takes part.  Shape (B, 1) keeps or drops queries.
    weight : array, broadcastable to (..., B)
        Weights of the examples.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (..., B)
        A scalar, or per-query losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        Shapes, dtypes, a temperature or a reduction that do not fit.

    Notes
    -----
    Computed as softplus of the negatives' logsumexp less the positive, which keeps small losses
    exact.  On a CPU the kernel works tile by tile and recomputes the logits in the backward pass:
    65,536 vectors need hundreds of megabytes where the logits alone would take 17 GB.  Other
    devices and libraries hold the logits.  A zero vector stays zero, with zero gradient.  A query
    without a logit costs 0 and leaves the mean; one whose positive alone is masked costs +inf.
    With `symmetric` the transposed mask applies the other way, and `negatives` do not.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> q = np.asarray([[1.0, 0.0], [0.0, 2.0]])
    >>> round(float(am.info_nce(q, q, temperature=0.5)), 6)
    0.126928

    References
    ----------
    .. [1] A. van den Oord, Y. Li, O. Vinyals, "Representation learning with contrastive predictive
       coding", 2018. arXiv:1807.03748.
    .. [2] A. Radford et al., "Learning transferable visual models from natural language
       supervision", 2021, figure 3. arXiv:2103.00020.
    """
    name = "info_nce"
    v = views(
        name, "query: ... B D, key: ... B D", query=query, key=key, negatives=negatives,
        temperature=temperature, where=where, weight=weight, reduction=reduction,
    )  # fmt: skip
    xp, (q, k, more, t) = v.xp, v.arrays
    _check_negatives(name, more, q)
    if normalize:
        q, k = _views.normalized(xp, q), _views.normalized(xp, k)
        more = None if more is None else _views.normalized(xp, more)
    rows = (*_views.batch_of(name, query=q, key=k), q.shape[-2])
    width = rows[-1] + (0 if more is None else more.shape[-2])
    where = _views.mask_of(xp, name, where, (*rows, width))
    t, given = _views.heat(v, name, t, rows, where), t
    inside, outside = _split(where, rows[-1])
    place = _array.arange(xp, rows[-1], q)
    keep = None if inside is None else _views.allowed(xp, inside, place)
    own = _views.dots(xp, q, k, keep)
    lse, _ = others(q, k, inside, t, diagonal=False)
    if more is not None:
        lse = _views.added(xp, lse, _against(xp, q, more, outside, t))
    loss, live = surprise(xp, lse, over(own, t), keep)
    if symmetric:
        turned = None if inside is None else xp.matrix_transpose(inside)
        t = _views.heat(v, name, given, rows, turned)
        lse, _ = others(k, q, turned, t, diagonal=False)
        back, seen = surprise(xp, lse, over(own, t), keep)
        loss, live = 0.5 * (loss + back), live | seen
    return v.finish(loss, reduction, None if where is None else live)


def _check_negatives(name: str, more: Array | None, q: Array) -> None:
    if more is not None and (more.ndim < 2 or more.shape[-1] != q.shape[-1]):
        raise ValueError(
            f"{name}: negatives have shape {_array.shape_text(more.shape)}; (..., N, D) or "
            f"(..., B, N, D) fits, D = {q.shape[-1]} as in query"
        )


def _split(where: Array | None, n: int) -> tuple[Array | None, Array | None]:
    """The masks of the first n columns, and of those after them."""
    if where is None or where.shape[-1] == 1:
        return where, where
    return where[..., :n], where[..., n:]


def _against(xp: Any, q: Array, more: Array, where: Array | None, t: Any) -> Array:
    """Logsumexp of the logits of extra negatives, -inf for none."""
    if more.ndim <= q.ndim:
        return others(q, more, where, t)[0]
    if where is not None:
        shape = (*where.shape[:-2], *more.shape[-3:-1])
        more = select(xp, xp.broadcast_to(where, shape)[..., None], more)
    z = xp.matmul(more, q[..., None])[..., 0]
    z = z / t
    return row_logsumexp(z, where, axis=(z.ndim - 1,), scale=1.0)


@form(
    shapes="z_a: ... B D, z_b: ... B D -> ",
    papers=("2002.05709",),
    cost="O(B^2 D) time, O(B D) memory on a CPU",
    primitives=("pairwise_logsumexp",),
)
def nt_xent(
    z_a: Array,
    z_b: Array,
    /,
    *,
    temperature: float | Array = 0.5,
    normalize: bool = True,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of finding a view's twin among all other views of both batches (SimCLR).

    .. math::

        \ell_i = \log\sum_{j\ne i} e^{z_{ij}} - z_{i,\pi(i)},\qquad
        z_{ij} = \langle v_i, v_j\rangle / T

    over the 2B views :math:`v = (z_a, z_b)`, :math:`\pi(i)` the other view of the same example.

    Parameters
    ----------
    z_a, z_b : array (..., B, D)
        Two views of each example.
    temperature : float or array
        :math:`T > 0`; an array, a scalar or of the shape (..., 2B), is differentiated too.
    normalize : bool
        Divide vectors by their lengths first, so that products are cosines.
    where : boolean array, broadcastable to (..., 2B, 2B)
        True where a logit takes part; those of views with themselves never do.
    weight : array, broadcastable to (..., 2B)
        Weights of the views.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (..., 2B)
        A scalar, or per-view losses with ``reduction="none"``, those of `z_a` first.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.info_nce`.

    Notes
    -----
    Cost and edges as :func:`anymax.info_nce`.  With one example there are no negatives, and the
    loss is 0.  It is :func:`anymax.supervised_contrastive_loss` with the examples as classes.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> z = np.asarray([[1.0, 0.0], [0.0, 2.0]])
    >>> round(float(am.nt_xent(z, z)), 6)
    0.239545

    References
    ----------
    .. [1] T. Chen, S. Kornblith, M. Norouzi, G. Hinton, "A simple framework for contrastive
       learning of visual representations", ICML 2020, equation 1. arXiv:2002.05709.
    """
    name = "nt_xent"
    v = views(
        name, "z_a: ... B D, z_b: ... B D", z_a=z_a, z_b=z_b, temperature=temperature,
        where=where, weight=weight, reduction=reduction,
    )  # fmt: skip
    pair = _groups.paired(v, name, normalize, where)
    t = _views.heat(v, name, v.arrays[2], pair.rows, pair.where)
    loss, live = surprise(v.xp, pair.negatives(t), over(pair.own, t), pair.keep)
    return v.finish(loss, reduction, None if where is None else live)


@form(
    shapes="z_a: ... B D, z_b: ... B D -> ",
    papers=("2110.06848",),
    cost="O(B^2 D) time, O(B D) memory on a CPU",
    primitives=("pairwise_logsumexp",),
)
def decoupled_contrastive_loss(
    z_a: Array,
    z_b: Array,
    /,
    *,
    temperature: float | Array = 0.1,
    sigma: float | None = None,
    normalize: bool = True,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""The contrastive loss of pairs of views with the positive left out of the denominator (DCL).

    .. math::

        \ell_i = \log\sum_{j\ne i,\,\pi(i)} e^{z_{ij}} - w_i\,z_{i,\pi(i)},\qquad
        w_i = 2 - \frac{e^{c_i/\sigma}}{\operatorname{mean}_n e^{c_n/\sigma}}

    over the 2B views, as :func:`anymax.nt_xent`; :math:`c_i` is the product of example i's views,
    and without `sigma` every :math:`w_i` is 1.

    Parameters
    ----------
    z_a, z_b : array (..., B, D)
        Two views of each example.
    temperature : float or array
        :math:`T > 0`; an array, a scalar or of the shape (..., 2B), is differentiated too.
    sigma : float
        Width of the weights of the positives (DCLW; 0.5 in the paper).  None: all are 1.
    normalize : bool
        Divide vectors by their lengths first, so that products are cosines.
    where : boolean array, broadcastable to (..., 2B, 2B)
        True where a logit takes part; those of views with themselves never do.
    weight : array, broadcastable to (..., 2B)
        Weights of the views.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (..., 2B)
        A scalar, or per-view losses with ``reduction="none"``, those of `z_a` first.  May be
        negative.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.info_nce`; `sigma` is not positive.

    Notes
    -----
    A view without negatives costs 0 and leaves the mean; one whose positive alone is masked costs
    +inf.  The weights average to one over the examples whose positives take part, and are
    differentiated.  The formula of the weights and sigma = 0.5 are given from memory of the paper:
    no official code was run.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> z = np.asarray([[1.0, 0.0], [0.0, 2.0]])
    >>> round(float(am.decoupled_contrastive_loss(z, z, temperature=1.0)), 6)
    -0.306853

    References
    ----------
    .. [1] C.-H. Yeh et al., "Decoupled contrastive learning", ECCV 2022. arXiv:2110.06848.
    """
    name = "decoupled_contrastive_loss"
    v = views(
        name, "z_a: ... B D, z_b: ... B D", z_a=z_a, z_b=z_b, temperature=temperature,
        where=where, weight=weight, reduction=reduction,
    )  # fmt: skip
    xp = v.xp
    pair = _groups.paired(v, name, normalize, where)
    t = _views.heat(v, name, v.arrays[2], pair.rows, pair.where)
    own = over(pair.own, t)
    if sigma is not None:
        own = own * pair.pull(_views.positive(name, "sigma", sigma))
    lse = pair.negatives(t)
    live = lse != -xp.inf
    loss = select(xp, live, select(xp, live, lse) - own)
    if pair.keep is not None:
        loss = xp.where(live & ~pair.keep, xp.full_like(loss, xp.inf), loss)
    return v.finish(loss, reduction, live)


@form(
    shapes="features: ... B D, target: ... B -> ",
    papers=("2004.11362",),
    cost="O(B^2 D) time, O(B D) memory on a CPU",
    primitives=("pairwise_logsumexp",),
)
def supervised_contrastive_loss(
    features: Array,
    target: Array,
    /,
    *,
    temperature: float | Array = 0.07,
    base_temperature: float | None = None,
    kind: str = "out",
    normalize: bool = True,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Mean cross entropy of finding the examples of one's own class among all others (SupCon).

    .. math::

        \ell_i = -\frac1{|P_i|}\sum_{p\in P_i}\Big(z_{ip}-\log\sum_{j\ne i}e^{z_{ij}}\Big),\qquad
        \ell_i^{\mathrm{in}} = -\log\frac1{|P_i|}\sum_{p\in P_i}e^{z_{ip}}
                               + \log\sum_{j\ne i}e^{z_{ij}}

    with :math:`z_{ij}=\langle f_i,f_j\rangle/T` and :math:`P_i` the others of example i's class.

    Parameters
    ----------
    features : array (..., B, D)
        Vectors.
    target : integer array (..., B)
        Classes of the examples, any integers.
    temperature : float or array
        :math:`T > 0`; an array, a scalar or of the shape (..., B), is differentiated too.
    base_temperature : float
        Multiply the loss by T over this number (0.07 in the author's code).  None: do not.
    kind : {"out", "in"}
        Where the mean over the positives stands: outside the logarithm, or inside.
    normalize : bool
        Divide vectors by their lengths first, so that products are cosines.
    where : boolean array, broadcastable to (..., B, B)
        True where a logit takes part; those of examples with themselves never do.
    weight : array, broadcastable to (..., B)
        Weights of the examples.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (..., B)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.info_nce`; a `target` that is not integer, another `kind`.

    Notes
    -----
    Examples without a positive cost 0 and leave the mean (the author's code gives NaN).  The loss
    "in" is at most that of "out".  Cost as :func:`anymax.info_nce`: the kernel sums the positives
    on its way through the tiles.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> f = np.asarray([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> am.supervised_contrastive_loss(f, np.asarray([0, 0, 1]), temperature=1.0, reduction="none")
    array([0.31326169, 0.31326169, 0.        ])

    References
    ----------
    .. [1] P. Khosla et al., "Supervised contrastive learning", NeurIPS 2020, equations 2 and 3.
       arXiv:2004.11362.
    """
    name = "supervised_contrastive_loss"
    if kind not in ("out", "in"):
        raise ValueError(f"{name}: kind is {kind!r}; 'out' or 'in' fits")
    v = views(
        name, "features: ... B D, target: ... B", others={"target": target}, features=features,
        temperature=temperature, where=where, weight=weight, reduction=reduction,
    )  # fmt: skip
    loss, live, t = _groups.supervised(v, name, target, kind, normalize, where)
    if base_temperature is not None:
        factor = t if _array.is_scalar(t) else t[..., 0]
        loss = loss * (factor / _views.positive(name, "base_temperature", base_temperature))
    return v.finish(loss, reduction, live)


@form(
    shapes="image: ... B D, text: ... B D -> ",
    papers=("2303.15343",),
    cost="O(B^2 D) time, O(B D) memory on a CPU",
    primitives=("pairwise_softplus",),
)
def siglip_loss(
    image: Array,
    text: Array,
    /,
    *,
    temperature: float | Array = 0.1,
    bias: float | Array = -10.0,
    normalize: bool = True,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Binary cross entropy of telling matching pairs from all others (SigLIP).

    .. math::

        \ell_i = \sum_j \log\big(1 + e^{-y_{ij} z_{ij}}\big),\qquad
        z_{ij} = \langle u_i, v_j\rangle/T + b

    with :math:`y_{ij} = 1` for i = j and -1 else.

    Parameters
    ----------
    image, text : array (..., B, D)
        Vectors; text i belongs to image i.
    temperature : float or array
        :math:`T > 0`, the inverse of the paper's scale; an array, a scalar or of the shape
        (..., B), is differentiated too.
    bias : float or array
        :math:`b`; an array, a scalar or of the shape (..., B), is differentiated too.
    normalize : bool
        Divide vectors by their lengths first, so that products are cosines.
    where : boolean array, broadcastable to (..., B, B)
        True where a pair takes part.
    weight : array, broadcastable to (..., B)
        Weights of the images.
    reduction : {"mean", "sum", "none"}
        The mean is the sum over all pairs divided by B, not by its square.

    Returns
    -------
    array () or (..., B)
        A scalar, or the sums over each image's pairs with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.info_nce`; a `bias` that does not broadcast.

    Notes
    -----
    Rows have no normaliser, so any subset of pairs may be summed apart.  On a CPU the kernel works
    tile by tile, as that of :func:`anymax.info_nce`.  An image without a pair leaves the mean.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> z = np.asarray([[1.0, 0.0], [0.0, 2.0]])
    >>> round(float(am.siglip_loss(z, z)), 6)
    0.693193

    References
    ----------
    .. [1] X. Zhai, B. Mustafa, A. Kolesnikov, L. Beyer, "Sigmoid loss for language image
       pre-training", ICCV 2023. arXiv:2303.15343.
    """
    name = "siglip_loss"
    v = views(
        name, "image: ... B D, text: ... B D", image=image, text=text, temperature=temperature,
        bias=bias, where=where, weight=weight, reduction=reduction,
    )  # fmt: skip
    xp, (a, b, t, shift) = v.xp, v.arrays
    if normalize:
        a, b = _views.normalized(xp, a), _views.normalized(xp, b)
    rows = (*_views.batch_of(name, image=a, text=b), a.shape[-2])
    where = _views.mask_of(xp, name, where, (*rows, rows[-1]))
    t = _views.heat(v, name, t, rows, where)
    shift = _shift(xp, name, shift, a, rows)
    keep = None
    if where is not None:
        keep = _views.allowed(xp, where, _array.arange(xp, rows[-1], a))
    own = softplus(xp, -over(_views.dots(xp, a, b, keep), t) - shift)
    if keep is not None:
        own = select(xp, keep, own)
    # The bias is the product of one more feature with 1.
    a = xp.concat([a / t, xp.broadcast_to(shift[..., None], (*a.shape[:-1], 1))], axis=-1)
    b = xp.concat([b, xp.ones_like(b[..., :1])], axis=-1)
    loss = own + pairwise_softplus(a, b, where, scale=1.0, diagonal=False)
    live = None if where is None else xp.any(where, axis=-1)
    return v.finish(loss, reduction, live)


def _shift(xp: Any, name: str, bias: Any, like: Array, rows: tuple) -> Array:
    """The bias of each row of `like`."""
    if bias is None:
        raise TypeError(f"{name}: bias is None; a number or an array fits")
    if _array.is_scalar(bias):
        return xp.full_like(like[..., 0], bias)
    _array.check_broadcast(name, "bias", bias, rows, "the unreduced loss")
    return xp.zeros_like(like[..., 0]) + bias


@form(
    shapes="anchor: ... D, positive: ... D, negative: ... D -> ",
    papers=("1503.03832", "1703.07737"),
    cost="O(n)",
)
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    /,
    *,
    margin: float | Array = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    soft: bool = False,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""How far the negative fails to lie further from the anchor than the positive, by a margin.

    .. math::

        \ell = \max(0,\ d(a, p) - d(a, n) + m),\qquad d(u, v) = \lVert u - v + \epsilon\rVert_p

    Parameters
    ----------
    anchor, positive, negative : array (..., D)
        Vectors, which broadcast.
    margin : float or array
        :math:`m`; an array broadcasts to (...) and is differentiated too.
    p : float
        Order of the norm, positive; inf is the largest entry.
    eps : float
        :math:`\epsilon`, added to every difference (torch): d(u, u) is then not 0.
    swap : bool
        Use the smaller of the negative's distances from the anchor and from the positive.
    soft : bool
        :math:`\log(1 + e^x)` in the place of :math:`\max(0, x)`; its paper has margin 0.
    where : boolean array, broadcastable to (...)
        True where a triplet takes part.
    weight : array, broadcastable to (...)
        Weights of the triplets.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-triplet losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        Shapes, dtypes, an order or a reduction that do not fit.

    Notes
    -----
    Where the loss is 0, so is its gradient; so is that of a distance of 0 (eps = 0).

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> a, p, n = np.asarray([[0.0, 0.0]]), np.asarray([[3.0, 4.0]]), np.asarray([[0.0, 5.5]])
    >>> round(float(am.triplet_margin_loss(a, p, n, eps=0.0)), 6)
    0.5

    References
    ----------
    .. [1] F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet: a unified embedding for face
       recognition and clustering", CVPR 2015. arXiv:1503.03832.
    .. [2] A. Hermans, L. Beyer, B. Leibe, "In defense of the triplet loss for person
       re-identification", 2017, section 2 (the soft margin). arXiv:1703.07737.
    """
    name = "triplet_margin_loss"
    v = _triplet.prepared(name, anchor, positive, negative, where)
    xp = v.xp
    gap = _triplet.gap(v, name, p, float(eps), swap)
    e = elements(
        name, gap=gap, margin=margin, where=where, weight=weight, reduction=reduction
    )  # fmt: skip
    x = e.arrays[0] + e.arrays[1]
    loss = softplus(xp, x) if soft else select(xp, ~(x <= 0), x)
    return _array.cast(xp, e.finish(loss, reduction), v.dtype)
