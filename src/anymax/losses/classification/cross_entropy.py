"""Cross entropy between logits and class targets."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import check_class_weight, class_axis, class_last
from anymax.losses._reduction import check_reduction, mean_over
from anymax.losses._targets import check_labels, check_target
from anymax.primitives.row_cross_entropy import row_cross_entropy
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
    xp = case.xp
    _check_smoothing(label_smoothing)
    inside = weight is None  # the PaLM term is averaged without class weights, so it stays outside
    loss, lse = row_cross_entropy(
        case.logits,
        case.target,
        case.where,
        case.class_weight,
        case.row_weight,
        label_smoothing=float(label_smoothing),
        lse_square_scale=float(lse_square_scale) if inside else 0.0,
        softcap=case.softcap,
        hint=_expected_cotangent(case, reduction),
    )
    loss = _reduced(case, loss, lse, reduction)
    if lse_square_scale and not inside:
        loss = loss + _square_term(case, lse, float(lse_square_scale), reduction)
    loss = xp.astype(loss, case.dtype)
    return (loss, xp.astype(lse, case.dtype)) if return_lse else loss


class _Case(NamedTuple):
    """A call with its class axis last, ignored labels replaced by 0 and given weight 0."""

    xp: Any
    logits: Array
    target: Array
    where: Array | None
    class_weight: Array | None
    row_weight: Array | None
    valid: Array | None
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
    if not labels:
        soft = class_last(xp, soft, axis)
        return _Case(xp, logits, soft, where, weight, None, None, cap, dtype)
    target = _array.as_index(xp, target)
    if _all_valid(xp, target, ignore_index, logits.shape[-1]):
        return _Case(xp, logits, target, where, weight, None, None, cap, dtype)
    valid = target != ignore_index
    check_labels(xp, name, target, valid, logits.shape[-1])
    target = xp.where(valid, target, xp.zeros_like(target))
    if _array.values_known(valid) and bool(xp.all(valid)):
        valid = None
    row_weight = None if valid is None else xp.astype(valid, _array.accumulator(xp, logits))
    return _Case(xp, logits, target, where, weight, row_weight, valid, cap, dtype)


def _all_valid(xp: Any, target: Array, ignore_index: int, num_classes: int) -> bool:
    """Whether two cheap looks show that every label counts and is a class."""
    if not _array.cheap_values(target) or 0 in target.shape or 0 <= ignore_index < num_classes:
        return False
    return int(xp.min(target)) >= 0 and int(xp.max(target)) < num_classes


def _padded(xp: Any, x: Array, ndim: int) -> Array:
    return x if x.ndim == ndim else xp.reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape))


def _capped(xp: Any, logits: Array, where: Array | None, cap: Array):
    """The cap as an array: applied here, behind the mask, where its gradient can be followed."""
    keep = logits != -xp.inf
    keep = keep if where is None else keep & where
    return cap * xp.tanh(xp.where(keep, logits, xp.zeros_like(logits)) / cap), keep, None


def _check_smoothing(label_smoothing: float) -> None:
    if isinstance(label_smoothing, str) or not 0.0 <= float(label_smoothing) <= 1.0:
        raise ValueError(
            f"cross_entropy: label_smoothing is {label_smoothing!r}; a number from 0 to 1 fits"
        )


def _example_weights(case: _Case, like: Array) -> Array:
    """What each example counts in the mean, before empty rows are left out."""
    xp = case.xp
    if case.class_weight is None or _array.is_floating(case.target):
        ones = xp.ones_like(like)
        return ones if case.row_weight is None else case.row_weight
    per_example = _array.take(xp, xp.astype(case.class_weight, like.dtype), case.target)
    return per_example if case.row_weight is None else per_example * case.row_weight


def _reduced(case: _Case, loss: Array, lse: Array, reduction: str) -> Array:
    xp = case.xp
    if reduction == "none":
        return loss
    total = xp.sum(loss)
    if reduction == "sum":
        return total
    if case.class_weight is None and case.valid is None and _all_live(xp, lse):
        return total / _array.size(loss.shape)
    counts = _example_weights(case, loss)
    return mean_over(xp, total, xp.sum(xp.where(lse != -xp.inf, counts, xp.zeros_like(counts))))


def _all_live(xp: Any, lse: Array) -> bool:
    """Whether a cheap look shows that no example is empty, so that the mean is over all of them."""
    if not _array.cheap_values(lse) or 0 in lse.shape:
        return False
    return bool(xp.all(lse != -xp.inf))


def _square_term(case: _Case, lse: Array, scale: float, reduction: str) -> Array:
    xp = case.xp
    part = lse != -xp.inf
    part = part if case.valid is None else part & case.valid
    square = scale * xp.square(xp.where(part, lse, xp.zeros_like(lse)))
    if reduction == "none":
        return square
    total = xp.sum(square)
    return total if reduction == "sum" else mean_over(xp, total, xp.sum(xp.astype(part, lse.dtype)))


def _expected_cotangent(case: _Case, reduction: str) -> float | None:
    """What each example's loss will be multiplied by if the result is differentiated as it is."""
    if reduction == "sum":
        return 1.0
    if reduction == "none" or not _array.cheap_values(case.logits) or 0 in case.logits.shape:
        return None
    if case.class_weight is None and case.row_weight is None:
        count = float(_array.size(case.logits.shape[:-1]))
    else:
        counts = _example_weights(case, case.logits[..., 0])
        count = float(_array.stop_gradient(case.xp.sum(counts)))
    return 1.0 / count if count else None
