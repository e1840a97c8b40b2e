"""Losses of many positives at once: decoupled softmax and soft top-k."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import class_axis, class_last
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses._targets import multi_hot
from anymax.losses.contrastive._views import softplus
from anymax.primitives._masked import kept, nonzero, select
from anymax.primitives.row_softmax import row_logsumexp
from anymax.softmaxes._operands import beside_tape
from anymax.softmaxes._rows import positive
from anymax.softmaxes.sparse.soft_top_k import log_soft_top_k


class _Labels(NamedTuple):
    """Logits in float32 or wider with the classes last, 0 where nothing takes part, and labels."""

    xp: Any
    dtype: Any
    logits: Array
    keep: Array
    hot: Array  # the positives, masked ones too
    others: tuple[Any, ...]
    weight: Array | None

    def mean(self, cost: Array) -> Array:
        """The sum of the costs of the positives over their number: 0 without any."""
        return self.total(cost) / nonzero(self.xp, self.count(self.hot))

    def total(self, cost: Array) -> Array:
        return self.xp.sum(select(self.xp, self.hot & self.keep, cost), axis=-1)

    def count(self, flags: Array) -> Array:
        return self.xp.sum(self.xp.astype(flags, self.logits.dtype), axis=-1)

    def finish(self, loss: Array, reduction: str, counts: Array | None = None) -> Array:
        """The result; a masked positive costs +inf, unless `counts` says it is weightless."""
        xp = self.xp
        lost = self.hot & ~self.keep
        live = xp.any(self.keep, axis=-1)
        hopeless = xp.any(lost if counts is None else lost & counts, axis=-1)
        loss = xp.where(hopeless & live, xp.full_like(loss, xp.inf), loss)
        y = reduced(xp, loss, reduction, live=live, weight=self.weight)
        return _array.cast(xp, y, self.dtype)


def _labels(
    function: str,
    logits: Array,
    target: Array,
    axis: int,
    where: Array | None,
    weight: Array | None,
    reduction: str,
    **others: Array | float | None,
) -> _Labels:
    """Check, promote and arrange; `others` are promoted and widened along."""
    check_reduction(function, reduction)
    _array.namespace(function, logits=logits, target=target, where=where, weight=weight, **others)
    _array.required(function, logits=logits, target=target)
    if weight is not None:
        _array.required(function, weight=weight)
    xp = _array.namespace(function, logits=logits, target=target, where=where, **others)
    axis = class_axis(function, axis, logits.ndim)
    _array.check_mask(function, "where", where, logits.shape, "logits")
    full = tuple(logits.shape)
    logits, weight, *rest = _array.promote(xp, function, logits=logits, weight=weight, **others)
    dtype = logits.dtype
    x = beside_tape(xp, _array.widen(xp, class_last(xp, logits, axis)))
    if weight is not None:
        _array.check_broadcast(function, "weight", weight, x.shape[:-1], "the unreduced loss")
        weight = beside_tape(xp, _array.widen(xp, weight))
    wide = (y if y is None or _array.is_scalar(y) else _array.widen(xp, y) for y in rest)
    rest = [y if y is None or _array.is_scalar(y) else beside_tape(xp, y) for y in wide]
    if where is not None:
        where = class_last(xp, xp.broadcast_to(where, full), axis)
    target = class_last(xp, target, axis) if target.ndim == logits.ndim else target
    hot = multi_hot(xp, function, xp.asarray(target), tuple(x.shape), where)
    keep = kept(xp, x, where)
    return _Labels(xp, dtype, select(xp, keep, x), keep, hot, tuple(rest), weight)


@form(
    shapes="logits: ... C, target: ... C -> ",
    papers=("2310.10636",),
    cost="O(n)",
    primitives=("row_logsumexp",),
)
def decoupled_softmax_loss(
    logits: Array,
    target: Array,
    /,
    *,
    temperature: float | Array = 1.0,
    positive_weight: Array | None = None,
    positive_reduction: str = "mean",
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Mean cross entropy of each positive class against the negatives alone.

    .. math::

        \ell = \frac1m\sum_{l\in P} y_l \log\big(1 + e^{N - z_l}\big),\qquad
        N = \log\sum_{j\notin P} e^{z_j},\quad z = \text{logits} / T

    Parameters
    ----------
    logits : array (..., C)
        Scores, the C classes on `axis`.
    target : boolean array (..., C) or integer array (..., P)
        True for the positives P, or lists of them padded with -1.
    temperature : float or array
        :math:`T > 0` (0.05 in the paper); an array broadcasts to (...) and is differentiated too.
    positive_weight : array, broadcastable to `logits`
        Weights :math:`y` of the positives.
    positive_reduction : {"mean", "sum"}
        Divide by the number m of positives (the official code), or not (the paper's equation).
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
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
        Shapes, dtypes, a temperature or a reduction that do not fit.
    IndexError
        A class outside [0, C) other than -1 (on arrays whose values are at hand).

    Notes
    -----
    The other positives are in no denominator, unlike in a softmax over all labels.  With one
    positive this is :func:`anymax.cross_entropy`.  Negatives are masked by selection (the official
    code puts -100 in the place of -inf, which is wrong for scores below about -80).  An example
    without a positive, or without a negative, costs 0 and counts in the mean; one without any class
    leaves it.  A positive that is masked costs +inf: to leave one out, make it no target either.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.log(np.asarray([4.0, 3.0, 1.0, 2.0]))
    >>> target = np.asarray([True, True, False, False])
    >>> round(float(am.decoupled_softmax_loss(logits, target)), 6)
    0.626381

    References
    ----------
    .. [1] N. Gupta, F. Khatri, A. S. Rawat, S. Bhojanapalli, P. Jain, I. Dhillon, "Dual-Encoders
       for Extreme Multi-Label Classification", ICLR 2024. arXiv:2310.10636.
    """
    name = "decoupled_softmax_loss"
    if positive_reduction not in ("mean", "sum"):
        raise ValueError(
            f"{name}: positive_reduction is {positive_reduction!r}; 'mean' or 'sum' fits"
        )
    p = _labels(
        name, logits, target, axis, where, weight, reduction,
        temperature=temperature, positive_weight=positive_weight,
    )  # fmt: skip
    xp, (t, y) = p.xp, p.others
    z = p.logits / _heat(xp, name, t, p.keep)
    negatives = row_logsumexp(z, p.keep & ~p.hot, axis=(z.ndim - 1,), scale=1.0)
    part = p.keep & p.hot
    cost = softplus(xp, negatives[..., None] - select(xp, part, z))
    counts = None
    if y is not None:
        _array.check_broadcast(name, "positive_weight", positive_weight, logits.shape, "logits")
        y = class_last(xp, xp.broadcast_to(y, logits.shape), class_axis(name, axis, logits.ndim))
        counts = y != 0
        cost = select(xp, counts, cost) * select(xp, part, y)
    loss = p.mean(cost) if positive_reduction == "mean" else p.total(cost)
    return p.finish(loss, reduction, counts)


def _heat(xp: Any, name: str, t: Any, keep: Array) -> Any:
    """The temperature of each example as (..., 1), 1 where nothing takes part; or a number."""
    if t is None:
        raise TypeError(f"{name}: temperature is None; a positive number or an array fits")
    if _array.is_scalar(t):
        return positive(name, "temperature", t)
    _array.check_broadcast(name, "temperature", t, keep.shape[:-1], "the unreduced loss")
    live = xp.any(keep, axis=-1)
    t = select(xp, live, xp.broadcast_to(t, live.shape), 1.0)
    if _array.values_known(t):
        good = xp.all(xp.isfinite(t) & (t > 0))
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{name}: temperature must be positive and finite everywhere")
    return t[..., None]


@form(
    shapes="logits: ... C, target: ... C -> ",
    papers=("2310.10636",),
    cost="O(n)",
    primitives=("row_threshold",),
)
def soft_top_k_loss(
    logits: Array,
    target: Array,
    /,
    *,
    k: float | Array,
    alpha: float = 2.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Mean surprise of the positive classes under soft top-k weights.

    .. math:: \ell = -\frac1m\sum_{l\in P}\log p_l,\qquad p = \text{soft top-}k(\text{logits})

    Parameters
    ----------
    logits : array (..., C)
        Scores, the C classes on `axis`.
    target : boolean array (..., C) or integer array (..., P)
        True for the positives P, or lists of them padded with -1.
    k : float or array
        What the weights sum to, not negative; an array broadcasts to (...), for instance the
        numbers of positives.
    alpha : float
        Steepness of :func:`anymax.log_soft_top_k`; 2 in the official configuration.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
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
        As :func:`anymax.decoupled_softmax_loss` and :func:`anymax.soft_top_k`.
    IndexError
        A class outside [0, C) other than -1 (on arrays whose values are at hand).

    Notes
    -----
    The official code samples as many positives as k and hides the rest: make those no target, and
    mask them by `where`.  Edges as :func:`anymax.decoupled_softmax_loss`; with k = 0 every positive
    costs +inf, with k the number of classes none costs anything.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits, target = np.zeros(4), np.asarray([True, False, False, True])
    >>> round(float(am.soft_top_k_loss(logits, target, k=2)), 6)
    0.693147

    References
    ----------
    .. [1] N. Gupta, F. Khatri, A. S. Rawat, S. Bhojanapalli, P. Jain, I. Dhillon, "Dual-Encoders
       for Extreme Multi-Label Classification", ICLR 2024. arXiv:2310.10636.
    """
    name = "soft_top_k_loss"
    p = _labels(name, logits, target, axis, where, weight, reduction, k=k)
    (count,) = p.others
    if count is not None and not _array.is_scalar(count):
        _array.check_broadcast(name, "k", count, p.keep.shape[:-1], "the unreduced loss")
        count = p.xp.broadcast_to(count, p.keep.shape[:-1])[..., None]
    y = log_soft_top_k(p.logits, k=count, alpha=alpha, where=p.keep)
    return p.finish(p.mean(-select(p.xp, p.keep & p.hot, y)), reduction)
