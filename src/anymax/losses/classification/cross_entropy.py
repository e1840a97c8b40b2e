"""Cross entropy between logits and class targets, and its two pieces."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import check_class_weight, class_axis, class_last, classes
from anymax.losses._cross_entropy import Counts, counted
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses._targets import check_smoothing, check_target
from anymax.primitives._masked import kept, select
from anymax.primitives.row_cross_entropy import row_cross_entropy
from anymax.primitives.row_softmax import row_logsumexp
from anymax.softmaxes._rows import positive


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=("1512.00567", "2204.02311", "2408.00118"),
    cost="O(n)",
    primitives=("row_cross_entropy",),
    quiet=False,
)
def cross_entropy(
    logits: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    lse_square_scale: float = 0.0,
    softcap: float | Array | None = None,
    return_lse: bool = False,
) -> Array | tuple[Array, Array]:
    r"""Expected surprise of the target classes under the softmax of the logits.

    .. math::

        \ell_n = \sum_c w_c\,t_{nc}\,(\mathrm{lse}_n - y_{nc})
                 + \zeta\,\mathrm{lse}_n^2,\qquad
        \mathrm{lse}_n = \log\sum_c e^{y_{nc}},\quad y = \kappa\tanh(\text{logits}/\kappa)

    with targets smoothed to :math:`t \leftarrow (1-\epsilon)\,t + \epsilon/C`.

    Parameters
    ----------
    logits : array (..., C)
        Unnormalised log-probabilities, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities of the shape of the logits (they need not sum to one).
    axis : int
        The class axis (torch: 1).
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights, non-negative.
    ignore_index : int
        Examples with this label are left out.  For integer targets only.
    label_smoothing : float
        :math:`\epsilon` in [0, 1]: the share of the target spread evenly over the classes.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the target classes' weights; with floating targets by the
        number of examples (both as torch).  Left-out examples count in neither.
    lse_square_scale : float
        :math:`\zeta` of the PaLM term, averaged over examples without class weights.
    softcap : float or array
        :math:`\kappa > 0` of the Gemma-2 cap on the logits; an array is differentiated too.
    return_lse : bool
        Return the normaliser of each example too.

    Returns
    -------
    loss : array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.
    lse : array (...)
        With `return_lse`.

    Raises
    ------
    TypeError
        `target` is neither integer nor floating, `where` is not boolean.
    ValueError
        A shape, reduction, smoothing or cap that does not fit.
    IndexError
        A label outside [0, C) other than `ignore_index` (on arrays whose values are at hand).

    Notes
    -----
    A target class that is masked, or whose logit is -inf, costs +inf; a class with target 0 costs 0
    whatever its logit.  An example without any class costs 0 and is left out of the mean, and a
    mean over nothing is 0 (torch: NaN).  float16 and bfloat16 accumulate in float32.

    .. math:: \partial\ell_n/\partial y_{nc} = \Big(\sum_j w_j t_{nj} + 2\zeta\,\mathrm{lse}_n\Big)
              p_{nc} - w_c t_{nc}

    The kernels read the logits once and write their gradient once; log-softmax and a gather would
    also store the log-probabilities.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.log(np.asarray([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
    >>> round(float(am.cross_entropy(logits, np.asarray([0, 2]))), 6)
    1.386294
    >>> am.cross_entropy(logits, np.asarray([0, -100]), reduction="none")
    array([0.69314718, 0.        ])

    References
    ----------
    .. [1] C. Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016,
       section 7 (label smoothing). arXiv:1512.00567.
    .. [2] A. Chowdhery et al., "PaLM: scaling language modeling with pathways", 2022, section 5
       (the squared normaliser). arXiv:2204.02311.
    .. [3] Gemma Team, "Gemma 2", 2024, section 2 (logit soft-capping). arXiv:2408.00118.
    """
    check_reduction("cross_entropy", reduction)
    case = _prepare(logits, target, axis, where, weight, ignore_index, softcap)
    xp, counts = case.xp, case.counts
    smoothing = check_smoothing("cross_entropy", label_smoothing)
    inside = weight is None  # the PaLM term is averaged without class weights, so it stays outside
    loss, lse = row_cross_entropy(
        case.logits,
        counts.target,
        case.where,
        counts.class_weight,
        counts.row_weight,
        label_smoothing=smoothing,
        lse_square_scale=float(lse_square_scale) if inside else 0.0,
        softcap=case.softcap,
        hint=None
        if 0 in case.logits.shape
        else counts.expected_cotangent(case.logits[..., 0], reduction),
    )
    loss = counts.reduced(loss, lse, reduction)
    if lse_square_scale and not inside:
        loss = loss + counts.square_term(lse, float(lse_square_scale), reduction)
    loss = xp.astype(loss, case.dtype)
    return (loss, xp.astype(lse, case.dtype)) if return_lse else loss


@form(shapes="logp: ... C, target: ... -> ", papers=("classic",), cost="O(n)")
def nll_loss(
    logp: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    r"""Minus the log-probability of each example's class.

    .. math:: \ell_n = -w_{y_n}\,\log p_{n y_n}

    Parameters
    ----------
    logp : array (..., C)
        Log-probabilities, the C classes on `axis`; they are taken as they are.
    target : integer array (...)
        Class indices.
    axis : int
        The class axis (torch: 1).
    where : boolean array, broadcastable to `logp`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights.
    ignore_index : int
        Examples with this label are left out.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the target classes' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; floating targets are refused.

    Notes
    -----
    :func:`anymax.cross_entropy` is this behind :func:`anymax.log_softmax`, in one pass.  Only the
    target's entry counts: NaN elsewhere in a row changes nothing.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp = np.log(np.asarray([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
    >>> am.nll_loss(logp, np.asarray([0, -100]), reduction="none")
    array([0.69314718, 0.        ])

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville, "Deep Learning", 2016, section 6.2.2.3.
    """
    c = classes(
        "nll_loss", logp, target, axis=axis, where=where, weight=weight,
        ignore_index=ignore_index, reduction=reduction, soft=False,
    )  # fmt: skip
    return c.finish(-c.at_target(c.logits), reduction)


@form(
    shapes="logits: ... C -> ", papers=("2204.02311",), cost="O(n)", primitives=("row_logsumexp",)
)
def lse_square_loss(
    logits: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
    coeff: float = 1e-4,
) -> Array:
    r"""Squared logsumexp, which keeps the normaliser of a softmax near 1.

    .. math:: \ell_n = \zeta\,\Big(\log\sum_c e^{x_{nc}}\Big)^2

    Parameters
    ----------
    logits : array (..., C)
        Logits x, the C classes on `axis`.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array, broadcastable to the unreduced loss
        Weights of the examples.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights; examples without a class count for nothing.
    coeff : float
        :math:`\zeta`: 1e-4 in PaLM, 1e-3 for the routers of ST-MoE.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        `where` is not boolean, a shape or a reduction does not fit, an axis is out of bounds.

    Notes
    -----
    Often called z-loss; :func:`anymax.z_loss` is another paper's.  It is the
    ``lse_square_scale`` of :func:`anymax.cross_entropy`.  It breaks the invariance to shifts, which
    is its purpose; the gradient is :math:`2\zeta\,\mathrm{lse}_n\,p_{nc}`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.lse_square_loss(np.zeros((2, 4)), coeff=1.0, reduction="none")
    array([1.92181206, 1.92181206])

    References
    ----------
    .. [1] A. Chowdhery et al., "PaLM: scaling language modeling with pathways", 2022, section 5.
       arXiv:2204.02311.
    """
    name = "lse_square_loss"
    check_reduction(name, reduction)
    _array.required(name, logits=logits)
    xp = _array.namespace(name, logits=logits, where=where, weight=weight)
    axis = class_axis(name, axis, logits.ndim)
    _array.check_mask(name, "where", where, logits.shape, "logits")
    x, weight = _array.promote(xp, name, logits=logits, weight=weight)
    dtype, x, weight = x.dtype, _array.widen(xp, x), _array.widen(xp, weight)
    keep = kept(xp, x, where)  # selected here, too: the slope of a NaN squared is NaN
    lse = row_logsumexp(select(xp, keep, x), keep, axis=(axis,), scale=1.0)
    if weight is not None:
        _array.check_broadcast(name, "weight", weight, lse.shape, "the unreduced loss")
    live = lse != -xp.inf
    over = lse == xp.inf  # its square has no slope that could be passed on
    square = float(coeff) * xp.square(select(xp, live & ~over, lse))
    square = square + select(xp, over, xp.full_like(square, xp.inf))
    return _array.cast(xp, reduced(xp, square, reduction, live=live, weight=weight), dtype)


class _Case(NamedTuple):
    """A call with its class axis last."""

    xp: Any
    logits: Array
    where: Array | None
    counts: Counts
    softcap: float | None
    dtype: Any


def _prepare(logits, target, axis, where, weight, ignore_index, softcap) -> _Case:
    name = "cross_entropy"
    xp = _array.namespace(
        name, logits=logits, target=target, where=where, weight=weight, softcap=softcap
    )
    _array.required(name, logits=logits, target=target)
    axis = class_axis(name, axis, logits.ndim)
    _array.check_mask(name, "where", where, logits.shape, "logits")
    rows = tuple(n for a, n in enumerate(logits.shape) if a != axis)
    labels = check_target(name, target, rows, logits.shape)
    soft = None if labels else target
    logits, soft, weight, cap = _array.promote(
        xp, name, logits=logits, target=soft, weight=weight, softcap=softcap
    )
    check_class_weight(name, weight, logits.shape[axis])
    where = None if where is None else class_last(xp, _padded(xp, where, logits.ndim), axis)
    dtype = logits.dtype
    logits = class_last(xp, logits, axis)
    if cap is not None and _array.is_scalar(cap):
        cap = positive(name, "softcap", cap)
    elif cap is not None:
        logits, where, cap = _capped(xp, logits, where, cap)
    if labels:
        wide = _array.accumulator(xp, logits)
        counts = counted(xp, name, target, weight, ignore_index, logits.shape[-1], wide, where)
    else:
        counts = Counts(xp, class_last(xp, soft, axis), weight, None, None)
    return _Case(xp, logits, where, counts, cap, dtype)


def _padded(xp: Any, x: Array, ndim: int) -> Array:
    return x if x.ndim == ndim else xp.reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape))


def _capped(xp: Any, logits: Array, where: Array | None, cap: Array):
    """The cap as an array: applied here, behind the mask, where its gradient can be followed."""
    keep = logits != -xp.inf
    keep = keep if where is None else keep & where
    return cap * xp.tanh(xp.where(keep, logits, xp.zeros_like(logits)) / cap), keep, None
