"""Classifier losses on nested prefixes of the features."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import check_class_weight
from anymax.losses._cross_entropy import Counts, counted
from anymax.losses._reduction import check_reduction
from anymax.primitives._masked import select
from anymax.primitives.row_cross_entropy import row_cross_entropy
from anymax.softmaxes._operands import beside_tape

_NAME = "nested_prefix_cross_entropy"
_SHAPES = "hidden: ... D, w: C D, target: ... -> "


@form(
    shapes=_SHAPES,
    papers=("2309.00255", "2205.13147"),
    cost="O(n C (D + K))",
    primitives=("row_cross_entropy",),
)
def nested_prefix_cross_entropy(
    hidden: Array,
    w: Array,
    target: Array,
    /,
    *,
    widths: tuple[int, ...],
    width_weight: Array | None = None,
    where: Array | None = None,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    r"""Weighted sum of the cross entropies of classifiers on the first features only.

    .. math:: \ell = \sum_k a_k\,\mathrm{CE}\big(h_{:d_k}\, w_{:,:d_k}^\top,\ y\big)

    Parameters
    ----------
    hidden : array (..., D)
        Features h, the coarsest first.
    w : array (C, D)
        The classifier's matrix, which all widths share.
    target : integer array (...)
        Class indices.
    widths : tuple of ints
        Numbers of features :math:`d_1 \le d_2 \le \dots`, from 1 to D; one that occurs twice counts
        twice.
    width_weight : array (K,), optional
        Weights a of the widths; 1 / K by default.
    where : boolean array, broadcastable to (..., C)
        True where a class takes part.
    weight : array (C,), optional
        Class weights, non-negative.
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
    TypeError, ValueError
        Arrays or widths that do not fit one another.
    IndexError
        A label outside [0, C) other than `ignore_index` (on arrays whose values are at hand).

    Notes
    -----
    Logits grow from one width to the next by the features between them, so that all widths together
    cost one product of full width and K normalisers.  Sampling a width uniformly, as SortedNet
    does for each step, gives this loss with equal weights on average.  The form is that of
    Matryoshka classifiers; SortedNet's own text speaks of sub-networks in general.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> h, w, y = np.asarray([[1.0, 2.0]]), np.eye(2), np.asarray([1])
    >>> wide = am.nested_prefix_cross_entropy(h, w, y, widths=(2,))
    >>> round(float(wide), 6), round(float(am.cross_entropy(h @ w.T, y)), 6)
    (0.313262, 0.313262)
    >>> round(float(am.nested_prefix_cross_entropy(h, w, y, widths=(1, 2))), 6)
    0.813262

    References
    ----------
    .. [1] M. Valipour et al., "SortedNet: a scalable and generalized framework for training modular
       deep neural networks", 2023. arXiv:2309.00255.
    .. [2] A. Kusupati et al., "Matryoshka representation learning", 2022, section 3.
       arXiv:2205.13147.
    """
    check_reduction(_NAME, reduction)
    xp = _array.namespace(
        _NAME, hidden=hidden, w=w, target=target, width_weight=width_weight, where=where,
        weight=weight,
    )  # fmt: skip
    _array.required(_NAME, hidden=hidden, w=w, target=target)
    _shapes.check(_NAME, _SHAPES, {"hidden": hidden, "w": w})
    ends = _check_widths(widths, hidden.shape[-1])
    _check_target(hidden, target)
    full = (*target.shape, w.shape[0])
    _array.check_mask(_NAME, "where", where, full, "the logits (..., C)")
    hidden, w, weight, width_weight = _array.promote(
        xp, _NAME, hidden=hidden, w=w, weight=weight, width_weight=width_weight
    )
    dtype = hidden.dtype
    hidden, w, weight, a = (
        x if x is None else beside_tape(xp, _array.widen(xp, x))
        for x in (hidden, w, weight, width_weight)
    )
    check_class_weight(_NAME, weight, w.shape[0])
    if a is not None and tuple(a.shape) != (len(ends),):
        raise ValueError(
            f"{_NAME}: width_weight has shape {_array.shape_text(a.shape)}; one weight per width, "
            f"({len(ends)},), fits"
        )
    counts = counted(xp, _NAME, target, weight, ignore_index, w.shape[0], hidden.dtype, where)
    loss, lse = _summed(xp, hidden[..., : ends[-1]], w[:, : ends[-1]], ends, a, where, counts,
                        reduction)  # fmt: skip
    return _array.cast(xp, counts.reduced(loss, lse, reduction), dtype)


def _summed(
    xp: Any, h: Array, w: Array, ends: list[int], a: Array | None, where: Array | None,
    counts: Counts, reduction: str,
) -> tuple[Array, Array]:  # fmt: skip
    """The weighted sum over widths, and the widest normaliser; bad rows have logits of NaN."""
    fine_h, fine_w = (xp.all(xp.isfinite(x), axis=-1, keepdims=True) for x in (h, w))
    wt = xp.matrix_transpose(select(xp, fine_w, w))
    h, fine = select(xp, fine_h, h), fine_h & xp.matrix_transpose(fine_w)[0, :]
    lead = h.ndim == 1
    h, fine = (h[None, :], fine[None, :]) if lead else (h, fine)
    hint = None if 0 in h.shape else counts.expected_cotangent(h[..., 0], reduction)
    hint = hint / len(ends) if hint is not None and a is None else None
    x: Any = None
    total: Any = None
    start = 0
    for k, stop in enumerate(ends):
        if stop > start:
            more = xp.matmul(h[..., start:stop], wt[start:stop, :])
            x = more if x is None else x + more
        logits = select(xp, fine, x, xp.nan)
        loss, lse = row_cross_entropy(
            logits[0, ...] if lead else logits, counts.target, where, counts.class_weight,
            counts.row_weight, label_smoothing=0.0, lse_square_scale=0.0, softcap=None, hint=hint,
        )  # fmt: skip
        cost = loss / len(ends) if a is None else _times(xp, a[k], loss)
        total = cost if total is None else total + cost
        start = stop
    return total, lse


def _times(xp: Any, factor: Array, loss: Array) -> Array:
    """factor * loss, where a factor of 0 drops a loss of inf, too."""
    counts = factor != 0
    return xp.where(counts, xp.where(counts, loss, xp.zeros_like(loss)) * factor,
                    xp.zeros_like(loss))  # fmt: skip


def _check_widths(widths: Any, features: int) -> list[int]:
    if not isinstance(widths, (tuple, list)) or not all(hasattr(d, "__index__") for d in widths):
        raise TypeError(f"{_NAME}: widths is {widths!r}; a tuple of ints fits")
    ends = [d.__index__() for d in widths]
    if not ends or ends[0] < 1 or ends[-1] > features or ends != sorted(ends):
        raise ValueError(
            f"{_NAME}: widths is {widths!r}; at least one, in ascending order from 1 to the "
            f"{features} features, fit"
        )
    return ends


def _check_target(hidden: Array, target: Array) -> None:
    if not _array.is_integer(target):
        raise TypeError(f"{_NAME}: target has dtype {_array.dtype_name(target)}; integers fit")
    if tuple(target.shape) != tuple(hidden.shape[:-1]):
        raise ValueError(
            f"{_NAME}: target has shape {_array.shape_text(target.shape)}; class indices have the "
            f"shape of hidden without its last axis, {_array.shape_text(hidden.shape[:-1])}"
        )
