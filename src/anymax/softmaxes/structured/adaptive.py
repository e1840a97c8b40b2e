"""Adaptive softmax: frequent classes in the head, rare ones in clusters of smaller width."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_cross_entropy import row_cross_entropy
from anymax.primitives.row_softmax import row_log_softmax
from anymax.softmaxes.structured._gather import check_index
from anymax.softmaxes.structured._linear import linear

Tails = tuple[tuple[Array, Array], ...]


@form(
    shapes="x: ... D, head_w: R D -> ... C",
    papers=("1609.04309",),
    cost="O(D R + sum of h (D + n))",
    primitives=("row_log_softmax",),
)
def adaptive_log_softmax(
    x: Array, head_w: Array, tails: Tails, /, *, head_bias: Array | None = None
) -> Array:
    r"""Log-probabilities of all classes of an adaptive softmax.

    .. math:: \log p_y = \begin{cases} \log\mathrm{softmax}(W x)_y & y < c_0 \\
        \log\mathrm{softmax}(W x)_{c_0 + i} + \log\mathrm{softmax}(O_i P_i x)_{y - c_i}
        & c_i \le y < c_{i+1} \end{cases}

    Parameters
    ----------
    x : array (..., D)
        Hidden states.
    head_w : array (c0 + T, D)
        W: the rows of the c0 most frequent classes, then one per cluster.
    tails : tuple of T pairs of arrays (h, D), (n, h)
        Projection P_i and output O_i of each cluster; n is the number of its classes.
    head_bias : array (c0 + T,), optional
        Added to the logits of the head; -inf masks.

    Returns
    -------
    array (..., C)
        Log-probabilities of the C = c0 + sum of n classes; their exponentials sum to one.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another, or a head without a class of its own.

    Notes
    -----
    Classes are ordered by falling frequency.  The cutoffs follow from the shapes.  Without tails
    this is the softmax.  A cluster masked in the head stays masked whatever its tail holds.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, head = np.asarray([1.0]), np.log(np.asarray([[1.0], [3.0]]))
    >>> tail = (np.asarray([[1.0]]), np.log(np.asarray([[1.0], [2.0]])))
    >>> np.exp(am.adaptive_log_softmax(x, head, (tail,)))
    array([0.25, 0.25, 0.5 ])

    References
    ----------
    .. [1] E. Grave, A. Joulin, M. Cisse, D. Grangier, H. Jegou, "Efficient softmax approximation
       for GPUs", ICML 2017, arXiv:1609.04309.
    """
    p = _parts("adaptive_log_softmax", x, head_w, tails, head_bias)
    xp = p.xp
    head = _log_softmax(p.head(p.x), None)
    pieces = [head[..., : p.shortlist]]
    for i in range(len(p.tails)):
        share = head[..., p.shortlist + i : p.shortlist + i + 1]
        keep = None if p.head_bias is None else share != -xp.inf
        pieces.append(share + _log_softmax(p.tail(i, p.x), keep))
    return _array.cast(xp, xp.concat(pieces, axis=-1), p.dtype)


@form(
    shapes="x: ... D, target: ..., head_w: R D -> ...",
    papers=("1609.04309",),
    cost="O(D R + h (D + n)), h and n of the target's cluster",
    primitives=("row_cross_entropy",),
)
def adaptive_log_prob(
    x: Array,
    target: Array,
    head_w: Array,
    tails: Tails,
    /,
    *,
    head_bias: Array | None = None,
) -> Array:
    r"""Log-probability of one class under an adaptive softmax; only its cluster is evaluated.

    .. math:: \log p_y = \log\mathrm{softmax}(W x)_{c_0 + i} +
        \log\mathrm{softmax}(O_i P_i x)_{y - c_i}, \qquad c_i \le y < c_{i+1}

    Parameters
    ----------
    x : array (..., D)
        Hidden states.
    target : integer array (...)
        Classes in [0, C), ordered by falling frequency; those below c0 need the head alone.
    head_w : array (c0 + T, D)
        W: the rows of the c0 most frequent classes, then one per cluster.
    tails : tuple of T pairs of arrays (h, D), (n, h)
        Projection P_i and output O_i of each cluster.
    head_bias : array (c0 + T,), optional
        Added to the logits of the head.

    Returns
    -------
    array (...)
        Log-probabilities; minus their mean is the loss.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.adaptive_log_softmax`, or `target` is no integer array of the shape of the
        rows.
    IndexError
        A target is not in [0, C).

    Notes
    -----
    Rows are sorted by cluster and each cluster sees its own rows only.  That takes a look at the
    targets, so code that is compiled, mapped or lazy evaluates every cluster for every row instead,
    with the same result.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, head = np.asarray([[1.0], [1.0]]), np.log(np.asarray([[1.0], [3.0]]))
    >>> tail = (np.asarray([[1.0]]), np.log(np.asarray([[1.0], [2.0]])))
    >>> np.exp(am.adaptive_log_prob(x, np.asarray([2, 0]), head, (tail,)))
    array([0.5 , 0.25])

    References
    ----------
    .. [1] E. Grave, A. Joulin, M. Cisse, D. Grangier, H. Jegou, "Efficient softmax approximation
       for GPUs", ICML 2017, arXiv:1609.04309.
    """
    name = "adaptive_log_prob"
    p = _parts(name, x, head_w, tails, head_bias, target)
    xp, cutoffs = p.xp, p.cutoffs()
    check_index(xp, name, "target", target, cutoffs[-1], "classes")
    if tuple(target.shape) != tuple(x.shape[:-1]):
        raise ValueError(
            f"{name}: target has shape {_array.shape_text(target.shape)} but x has shape "
            f"{_array.shape_text(x.shape)}; target needs {_array.shape_text(x.shape[:-1])}"
        )
    rows = xp.reshape(p.x, (_array.size(target.shape), p.x.shape[-1]))
    label = xp.reshape(_array.as_index(xp, target), (-1,))
    cluster = xp.zeros_like(label) - 1
    for c in cutoffs[:-1]:
        cluster = cluster + xp.astype(label >= c, label.dtype)
    in_head = xp.where(cluster < 0, label, p.shortlist + cluster)
    log_p = _picked(xp, p.head(rows), in_head, None)
    split = _by_cluster if _array.values_known(cluster) else _everywhere
    live = xp.astype(log_p != -xp.inf, log_p.dtype)  # a masked cluster's tail doesn't count
    log_p = log_p + split(p, rows, label, cluster, live)
    return _array.cast(xp, xp.reshape(log_p, target.shape), p.dtype)


class _Parts(NamedTuple):
    """Promoted and widened arrays; `shortlist` is c0."""

    xp: Any
    x: Array
    head_w: Array
    head_bias: Array | None
    tails: Tails
    shortlist: int
    dtype: Any

    def head(self, x: Array) -> Array:
        """Logits of the head."""
        return linear(self.xp, x, self.head_w, self.head_bias)

    def tail(self, i: int, x: Array) -> Array:
        """Logits of cluster i."""
        project, out = self.tails[i]
        return linear(self.xp, linear(self.xp, x, project), out)

    def cutoffs(self) -> list[int]:
        """c0, c1, ..., C."""
        cuts = [self.shortlist]
        for _, out in self.tails:
            cuts.append(cuts[-1] + out.shape[0])
        return cuts


def _parts(
    name: str, x: Array, head_w: Array, tails: Any, head_bias: Array | None, target: Any = None
) -> _Parts:
    """Check and normalise the arguments."""
    if not isinstance(tails, (tuple, list)) or any(
        not isinstance(t, (tuple, list)) or len(t) != 2 for t in tails
    ):
        raise TypeError(f"{name}: tails must be a tuple of pairs (projection, output)")
    flat = {f"tails[{i}][{j}]": w for i, pair in enumerate(tails) for j, w in enumerate(pair)}
    _array.required(name, x=x, head_w=head_w, **flat)
    arrays = {"x": x, "head_w": head_w, "head_bias": head_bias, **flat}
    xp = _array.namespace(name, target=target, **arrays)
    _shapes.check(name, "x: ... D, head_w: R D, head_bias: R -> ... C", arrays)
    for i, (project, out) in enumerate(tails):
        text = f"x: ... D, tails[{i}][0]: h D, tails[{i}][1]: n h -> ... n"
        _shapes.check(name, text, {"x": x, f"tails[{i}][0]": project, f"tails[{i}][1]": out})
    shortlist = head_w.shape[0] - len(tails)
    if shortlist < 1:
        raise ValueError(
            f"{name}: head_w has {head_w.shape[0]} rows for {len(tails)} clusters; "
            f"at least {len(tails) + 1} are needed, one of them a class of the head"
        )
    promoted = _array.promote(xp, name, **arrays)
    dtype = promoted[0].dtype
    x, head_w, head_bias, *rest = (_array.widen(xp, a) for a in promoted)
    pairs = tuple(zip(rest[::2], rest[1::2]))
    return _Parts(xp, x, head_w, head_bias, pairs, shortlist, dtype)


def _log_softmax(x: Array, where: Array | None) -> Array:
    return row_log_softmax(x, where, axis=(x.ndim - 1,), scale=1.0)


def _picked(xp: Any, x: Array, label: Array, row_scale: Array | None) -> Array:
    """Log-softmax of x (N, C) at one class a row, 0 in rows of scale 0; no row is written out."""
    loss, lse = row_cross_entropy(
        x, label, None, None, row_scale, label_smoothing=0.0, lse_square_scale=0.0, softcap=None
    )
    empty = lse == -xp.inf
    empty = empty if row_scale is None else empty & (row_scale != 0)
    return xp.where(empty, xp.full_like(loss, -xp.inf), -loss)


def _everywhere(p: _Parts, x: Array, label: Array, cluster: Array, live: Array) -> Array:
    """The clusters' part, each over all rows, those of other clusters left out by a scale of 0."""
    xp = p.xp
    total = xp.zeros(cluster.shape, dtype=p.x.dtype, device=_array.device(p.x))
    for i, start in enumerate(p.cutoffs()[:-1]):
        inside = cluster == i
        own = xp.where(inside, label - start, xp.zeros_like(label))
        scale = xp.where(inside, live, xp.zeros_like(live))
        total = total + _picked(xp, p.tail(i, x), own, scale)
    return total


def _by_cluster(p: _Parts, x: Array, label: Array, cluster: Array, live: Array) -> Array:
    """The clusters' part, each over its own rows."""
    xp = p.xp
    order = xp.argsort(cluster, stable=True)
    x, label, live = (xp.take(a, order, axis=0) for a in (x, label, live))
    counts = [int(xp.sum(xp.astype(cluster == i, label.dtype))) for i in range(-1, len(p.tails))]
    done = counts[0]
    pieces = [xp.zeros((done,), dtype=p.x.dtype, device=_array.device(p.x))]
    for i, start in enumerate(p.cutoffs()[:-1]):
        stop = done + counts[i + 1]
        logits = p.tail(i, x[done:stop, :])
        pieces.append(_picked(xp, logits, label[done:stop] - start, live[done:stop]))
        done = stop
    return xp.take(xp.concat(pieces, axis=0), xp.argsort(order, stable=True), axis=0)
