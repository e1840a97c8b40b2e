"""Next-item contrastive loss with pooled negatives, near copies of the target left out."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses.contrastive import _views
from anymax.losses.contrastive._views import others, over, surprise, views
from anymax.softmaxes._operands import spread

_BLOCK = 1 << 22  # products held at once


@form(
    shapes="user: ... S D, positive: ... S D, negatives: ... K D -> ",
    papers=("2409.12740",),
    cost="O(S M D) time, O(S M) bytes for the filter on a CPU",
    primitives=("pairwise_logsumexp",),
)
def sampled_info_nce(
    user: Array,
    positive: Array,
    negatives: Array,
    /,
    *,
    temperature: float | Array = 0.07,
    min_temperature: float = 0.01,
    false_negative_threshold: float | None = 0.99,
    normalize: bool = True,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of finding the next item among sampled ones that are not nearly it.

    .. math::

        \ell = \log\Big(1 + \sum_{j:\ \langle p, n_j\rangle \le \theta}
               e^{(\langle u, n_j\rangle - \langle u, p\rangle) / T}\Big)

    Parameters
    ----------
    user : array (..., S, D)
        Predicted vectors u of the next items.
    positive : array (..., S, D)
        Vectors p of the next items.
    negatives : array (M, D) or (..., K, D)
        Vectors n of sampled items; with batch axes, all of them serve every position.
    temperature : float or array
        :math:`T > 0`, the inverse of the logit scale; an array broadcasts to (..., S) and is
        differentiated too.
    min_temperature : float
        Smaller temperatures count as this one, with gradient 0 (1 over the largest scale).
    false_negative_threshold : float
        :math:`\theta`: samples whose product with the positive exceeds it are left out.  None
        keeps all.
    normalize : bool
        Divide vectors by their lengths first, so that products are cosines.
    where : boolean array, broadcastable to (..., S)
        True where a position takes part.
    weight : array, broadcastable to (..., S)
        Weights of the positions.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (..., S)
        A scalar, or per-position losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.info_nce`.

    Notes
    -----
    The filter is a constant: nothing flows through the products with the positives.  With all
    samples left out the loss is exactly 0, and the position counts.  A zero vector stays zero
    (NaN in the official code).  On a CPU logits are formed tile by tile, but the filter costs a
    byte for each pair of a position and a sample.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> u, p = np.asarray([[1.0, 0.0]]), np.asarray([[0.6, 0.8]])
    >>> n = np.asarray([[0.0, 1.0], [0.6, 0.8]])  # the second is the positive itself
    >>> round(float(am.sampled_info_nce(u, p, n, temperature=1.0)), 6)
    0.437488

    References
    ----------
    .. [1] J. Chen, L. Chi, B. Peng, Z. Yuan, "HLLM: enhancing sequential recommendations via
       hierarchical large language models for item and user modeling", 2024. arXiv:2409.12740.
    """
    name = "sampled_info_nce"
    v = views(
        name, "user: ... S D, positive: ... S D, negatives: ... K D", user=user,
        positive=positive, negatives=negatives, temperature=temperature, where=where,
        weight=weight, reduction=reduction,
    )  # fmt: skip
    xp, (u, p, n, t) = v.xp, v.arrays
    lead = _views.batch_of(name, user=u, positive=p)
    rows = (*lead, u.shape[-2])
    _array.check_mask(name, "where", where, rows, "the unreduced loss")
    part = None if where is None else where[..., None]
    t = _floored(xp, name, _views.heat(v, name, t, rows, part), min_temperature)
    u, p = (_flat(xp, spread(xp, x, (*lead, *x.shape[-2:]))) for x in (u, p))
    n = _flat(xp, n)
    if normalize:
        u, p, n = (_views.normalized(xp, x) for x in (u, p, n))
    keep = None if where is None else xp.reshape(xp.broadcast_to(where, rows), (-1,))
    if not _array.is_scalar(t):
        t = xp.reshape(xp.broadcast_to(t, (*rows, 1)), (-1, 1))
    mask = None if keep is None else keep[:, None]
    if false_negative_threshold is not None:
        distinct = _distinct(xp, p, n, float(false_negative_threshold))
        mask = distinct if mask is None else distinct & mask
    lse, _ = others(u, n, mask, t)
    loss, live = surprise(xp, lse, over(_views.dots(xp, u, p, keep), t), keep)
    loss, live = xp.reshape(loss, rows), xp.reshape(live, rows)
    return v.finish(loss, reduction, None if where is None else live)


def _flat(xp: Any, x: Array) -> Array:
    """All batch entries in one matrix."""
    return x if x.ndim == 2 else xp.reshape(x, (_array.size(x.shape[:-1]), x.shape[-1]))


def _floored(xp: Any, name: str, t: Any, least: float) -> Any:
    least = _views.positive(name, "min_temperature", least)
    if _array.is_scalar(t):
        return max(t, least)
    return xp.where(t > least, t, xp.full_like(t, least))


def _distinct(xp: Any, p: Array, n: Array, threshold: float) -> Array:
    """Whether samples differ from the positives (rows, M), some rows at a time."""
    p, n = _array.stop_gradient(p), xp.matrix_transpose(_array.stop_gradient(n))
    step = max(1, _BLOCK // max(n.shape[-1], 1))
    rows = p.shape[0]
    blocks = (slice(i, min(i + step, rows)) for i in range(0, max(rows, 1), step))
    parts = [~(xp.matmul(p[here, :], n) > threshold) for here in blocks]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
