"""Cross entropy of a linear layer, without the logits in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import check_class_weight, flat_mask
from anymax.losses._cross_entropy import Counts, counted
from anymax.losses._reduction import check_reduction
from anymax.losses._targets import check_smoothing
from anymax.primitives.linear_cross_entropy import linear_cross_entropy as primitive
from anymax.softmaxes._operands import check_count
from anymax.softmaxes._rows import positive

_NAME = "linear_cross_entropy"
_SHAPES = "hidden: ... D, w: V D, target: ..., bias: V -> "


@form(
    shapes="hidden: ... D, w: V D, target: ... -> ",
    papers=("2411.09009", "2410.10989"),
    cost="O(n V D) time, O(chunk V) memory",
    primitives=("linear_cross_entropy",),
    quiet=False,
)
def linear_cross_entropy(
    hidden: Array,
    w: Array,
    target: Array,
    /,
    *,
    bias: Array | None = None,
    where: Array | None = None,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    lse_square_scale: float = 0.0,
    softcap: float | None = None,
    shift: int = 0,
    filter_eps: float = 0.0,
    chunk_size: int | None = None,
    reduction: str = "mean",
    return_lse: bool = False,
) -> Array | tuple[Array, Array]:
    r"""Cross entropy of the logits of a linear layer, which are computed a chunk at a time.

    .. math::

        \ell_n = \sum_v c_v\,t_{nv}\,(\mathrm{lse}_n - y_{nv})
                 + \zeta\,\mathrm{lse}_n^2,\qquad
        y = \kappa\tanh\big((\mathrm{hidden}\,w^\top + b)/\kappa\big),\quad
        \mathrm{lse}_n = \log\sum_v e^{y_{nv}}

    with class weights c and targets t as in :func:`anymax.cross_entropy`.

    Parameters
    ----------
    hidden : array (..., D)
        Hidden states, one a token.
    w : array (V, D)
        The classifier's matrix.
    target : integer array (...)
        Class indices.
    bias : array (V,), optional
        b; a class with bias -inf is masked.
    where : boolean array, broadcastable to (..., V)
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (V,), optional
        Class weights, non-negative.
    ignore_index : int
        Examples with this label are left out.
    label_smoothing : float
        The share of the target spread evenly over the classes, in [0, 1].
    lse_square_scale : float
        :math:`\zeta` of the PaLM term (z-loss), averaged over examples without class weights.
    softcap : float, optional
        :math:`\kappa > 0` of the cap on the logits.
    shift : int
        Compare state t with label t + shift along the last axis of `target`; 1 is next-token
        prediction.  The states without a label are left out of the results.
    filter_eps : float
        Gradients may leave out blocks of classes in which no entry of
        :math:`\partial\ell/\partial y` exceeds it, relative to the largest cotangent.  0 is exact;
        Cut Cross-Entropy uses ``finfo(dtype).eps / 32``.
    chunk_size : int, optional
        Tokens whose logits are held at a time; about 2**22 logits by default.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the target classes' weights; examples left out don't count.
    return_lse : bool
        Return the normaliser of each example too.

    Returns
    -------
    loss : array () or (...)
        A scalar, or per-example losses with ``reduction="none"``; their last axis is shorter by
        `shift`.
    lse : array (...)
        With `return_lse`.

    Raises
    ------
    TypeError
        `target` isn't an integer array, `where` is not boolean.
    ValueError
        A shape, reduction, smoothing, cap, shift or chunk that does not fit.
    IndexError
        A label outside [0, V) other than `ignore_index` (on arrays whose values are at hand).

    Notes
    -----
    Equal to ``cross_entropy(hidden @ w.T + bias, target)`` in value and in every gradient, up to
    rounding and for any `chunk_size`.  The logits are never all in memory: of n V numbers there are
    ``chunk_size`` times V at a time, besides the gradients themselves.  With the NumPy and torch
    kernels a loss that is summed or averaged computes its gradients in the same pass, and they are
    scaled if it is divided later; otherwise the logits are computed twice.  The products are BLAS
    calls on whole chunks.  torch.func, torch.compile and forward mode follow the plain code, which
    stores logits for the gradient; JAX computes chunks again.

    A row of `hidden` or `w` that holds NaN or inf gives logits of NaN; where they are masked or
    ignored, nothing of it is seen.  Empty examples and empty means cost 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> hidden, w = np.eye(2), np.log(np.asarray([[1.0, 1.0], [3.0, 1.0]]))
    >>> am.linear_cross_entropy(hidden, w, np.asarray([0, 1]), reduction="none")
    array([1.38629436, 0.69314718])
    >>> round(float(am.linear_cross_entropy(hidden, w, np.asarray([0, -100]))), 6)
    1.386294

    References
    ----------
    .. [1] E. Wijmans et al., "Cut your losses in large-vocabulary language models", 2024, section
       4. arXiv:2411.09009.
    .. [2] P.-L. Hsu et al., "Liger Kernel: efficient Triton kernels for LLM training", 2024,
       section 3.2. arXiv:2410.10989.
    """
    check_reduction(_NAME, reduction)
    smoothing = check_smoothing(_NAME, label_smoothing)
    case = _prepare(hidden, w, target, bias, where, weight, ignore_index, shift)
    xp, counts = case.xp, case.counts
    square = float(lse_square_scale)
    inside = weight is None  # the PaLM term is averaged without class weights, so it stays outside
    loss, lse = primitive(
        case.hidden, case.w, counts.target, case.bias, case.where, counts.class_weight,
        counts.row_weight,
        label_smoothing=smoothing,
        lse_square_scale=square if inside else 0.0,
        softcap=None if softcap is None else positive(_NAME, "softcap", softcap),
        filter_eps=_check_eps(filter_eps),
        chunk_size=None if chunk_size is None else check_count(_NAME, "chunk_size", chunk_size),
        hint=_hint(case, reduction),
    )  # fmt: skip
    cost = counts.reduced(loss, lse, reduction)
    if square and not inside:
        cost = cost + counts.square_term(lse, square, reduction)
    cost = xp.astype(cost, case.dtype)
    if reduction == "none":
        cost = xp.reshape(cost, case.rows)
    return (cost, xp.reshape(xp.astype(lse, case.dtype), case.rows)) if return_lse else cost


class _Case(NamedTuple):
    """A call with the examples along one axis; `rows` is their shape."""

    xp: Any
    hidden: Array
    w: Array
    bias: Array | None
    where: Array | None
    counts: Counts
    rows: tuple
    dtype: Any


def _prepare(hidden, w, target, bias, where, weight, ignore_index, shift) -> _Case:
    xp = _array.namespace(
        _NAME, hidden=hidden, w=w, target=target, bias=bias, where=where, weight=weight
    )
    _array.required(_NAME, hidden=hidden, w=w, target=target)
    _shapes.check(_NAME, _SHAPES, {"hidden": hidden, "w": w, "bias": bias})
    if not _array.is_integer(target):
        raise TypeError(
            f"{_NAME}: target has dtype {_array.dtype_name(target)}; class indices, of an integer "
            "dtype, fit"
        )
    if tuple(target.shape) != tuple(hidden.shape[:-1]):
        raise ValueError(
            f"{_NAME}: target has shape {_array.shape_text(target.shape)}; class indices have the "
            f"shape of hidden without its last axis, {_array.shape_text(hidden.shape[:-1])}"
        )
    num_classes = w.shape[0]
    full = (*hidden.shape[:-1], num_classes)
    _array.check_mask(_NAME, "where", where, full, "the logits (..., V)")
    hidden, w, bias, weight = _array.promote(
        xp, _NAME, hidden=hidden, w=w, bias=bias, weight=weight
    )
    check_class_weight(_NAME, weight, num_classes)
    hidden, target, where = _shifted(hidden, target, where, shift)
    rows = tuple(target.shape)
    where = None if where is None else flat_mask(xp, where, rows)
    wide = _array.accumulator(xp, hidden)
    target = xp.reshape(target, (-1,))
    counts = counted(xp, _NAME, target, weight, ignore_index, num_classes, wide, where)
    flat = xp.reshape(hidden, (_array.size(rows), hidden.shape[-1]))
    return _Case(xp, flat, w, bias, where, counts, rows, hidden.dtype)


def _shifted(hidden: Array, target: Array, where: Array | None, shift: int):
    """States and masks of all but the last `shift` tokens, labels of all but the first."""
    if not hasattr(shift, "__index__") or shift < 0:
        raise ValueError(f"{_NAME}: shift is {shift!r}; an int of at least 0 fits")
    if not shift:
        return hidden, target, where
    if not target.ndim or shift > target.shape[-1]:
        raise ValueError(
            f"{_NAME}: shift is {shift}, but target has shape {_array.shape_text(target.shape)}; "
            "it has to have a last axis at least as long"
        )
    stop = target.shape[-1] - shift
    if where is not None and where.ndim > 1 and where.shape[-2] > 1:
        where = where[..., :stop, :]
    return hidden[..., :stop, :], target[..., shift:], where


def _check_eps(eps: float) -> float:
    if not 0.0 <= float(eps) < 1.0:
        raise ValueError(f"{_NAME}: filter_eps is {eps!r}; a number from 0 to 1 fits, 0 is exact")
    return float(eps)


def _hint(case: _Case, reduction: str) -> float | None:
    if 0 in case.hidden.shape:
        return None
    return case.counts.expected_cotangent(_array.widen(case.xp, case.hidden[:, 0]), reduction)
