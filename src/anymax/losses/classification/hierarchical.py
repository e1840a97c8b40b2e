"""Loss on a hierarchy of classes that grows while it is learnt, and how fast it may grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import classes
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses.classification._levels import (
    check_integers,
    check_level,
    check_levels,
    check_logits,
    promoted,
)
from anymax.primitives.row_cross_entropy import row_cross_entropy
from anymax.softmaxes._operands import check_count, common_shape, operands
from anymax.softmaxes._rows import positive

_PAPER = ("2308.14374",)


@form(
    shapes="logits: n C, target: n -> ", papers=_PAPER, cost="O(n sum of C)",
    primitives=("row_cross_entropy",),
)  # fmt: skip
def hierarchical_cross_entropy(
    logits: Sequence[Array],
    target: Array,
    /,
    *,
    level: Array | None = None,
    weight: Sequence[Array | None] | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropies of the heads of a class hierarchy, summed over the levels with a label.

    .. math:: \ell_i = -\sum_h [\text{i has a label } y_{ih}]\;
        w_{h,y_{ih}} \log\mathrm{softmax}(x_{hi})_{y_{ih}}

    Parameters
    ----------
    logits : sequence of H arrays (n, C)
        Logits of each level, coarse to fine; C is the number of classes of the level.
    target : integer array (n,) or (n, H)
        Class of each example inside its level, or its classes on all levels.
    level : integer array (n,)
        The level that the example's label is of, from 0; needed with a target (n,).
    weight : sequence of H arrays (C,)
        Class weights of each level; None for a level without.
    ignore_index : int
        The label of examples that have none on a level.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of examples that have some label, whatever their levels and
        weights.

    Returns
    -------
    array () or (n,)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        Sequences, dtypes or shapes that do not fit; `level` is missing.
    IndexError
        A label or level that there is not (on arrays whose values are at hand).

    Notes
    -----
    The division is the official one: the heads' sums over n, not means of each level, so a level
    with few examples weighs little.  A logit of -inf is masked.  An example without a label costs 0
    and is left out of the mean.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> coarse, fine = np.zeros((2, 2)), np.log(np.asarray([[1.0, 2.0, 1.0], [6.0, 1.0, 1.0]]))
    >>> target, level = np.asarray([1, 0]), np.asarray([0, 1])
    >>> am.hierarchical_cross_entropy((coarse, fine), target, level=level, reduction="none")
    array([0.69314718, 0.28768207])

    References
    ----------
    .. [1] B. H. Lee, O. Jung, J. Choi, S. Y. Chun, "Online continual learning on hierarchical
       label expansion", ICCV 2023, arXiv:2308.14374.
    """
    name = "hierarchical_cross_entropy"
    check_reduction(name, reduction)
    heads = check_levels(name, "logits", logits)
    number = len(heads)
    weights = [None] * number if weight is None else check_levels(name, "weight", weight, number)
    xp, heads, weights = promoted(name, heads, weights, target, level)
    n = check_logits(name, heads)
    labels = _labels(xp, name, target, level, (n, number), ignore_index)
    total, live = 0.0, None
    for x, y, w in zip(heads, labels, weights):
        case = classes(name, x, y, weight=w, ignore_index=ignore_index, reduction="none")
        loss, _ = row_cross_entropy(
            case.logits, case.target, case.keep, None, None,
            label_smoothing=0.0, lse_square_scale=0.0, softcap=None,
        )  # fmt: skip
        if w is not None:
            weighed = case._replace(dtype=case.logits.dtype)
            loss = weighed.finish(loss, "none", infinite=False)
        total = total + loss
        live = case.live if live is None else live | case.live
    loss = reduced(xp, total, reduction, live=live)
    return _array.cast(xp, loss, heads[0].dtype)


def _labels(
    xp: Any, function: str, target: Array, level: Array | None, shape: tuple, ignore_index: int
) -> list[Array]:
    """The labels (n,) on each level."""
    n, number = shape
    if level is None:
        check_integers(function, "target", target, shape, "without level a label for each level")
        target = _array.as_index(xp, target)
        return [target[:, h] for h in range(number)]
    check_integers(function, "target", target, (n,), "with level a label for each example")
    check_integers(function, "level", level, (n,), "a level for each example")
    target, level = _array.as_index(xp, target), _array.as_index(xp, level)
    check_level(xp, function, level, number)
    none = xp.full_like(target, ignore_index)
    return [xp.where(level == h, target, none) for h in range(number)]


@form(shapes="n: ..., first_seen: ... -> ...", papers=_PAPER, level="module", cost="O(1)")
def flexible_sampling_probability(
    n: Array,
    first_seen: Array,
    /,
    *,
    total: float,
    num_classes: int,
    factor: float = 1.0,
) -> Array:
    r"""Probability that a sample from the stream enters the batch, low for a new class.

    .. math:: p = \min\Big(1,\; \frac{n - n_c}{f\,N / C}\Big)

    Parameters
    ----------
    n : array (...)
        Samples seen so far.
    first_seen : array (...)
        :math:`n_c`, how many had been seen when the sample's class first came; broadcasts with `n`.
    total : float
        N, the samples of the whole stream.
    num_classes : int
        C, the number of classes.
    factor : float
        f; 1 for one level.  The official code for several levels takes ``2 * total`` of the stream
        in the place of ``total / num_classes``.

    Returns
    -------
    array (...)
        Probabilities in [0, 1]; a sample is taken where a uniform number is at most that.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype; a number is not positive; the shapes do not broadcast.

    Notes
    -----
    Grows with `n`: a class enters gradually, and until then through the memory.  0 where `n` is
    smaller than `first_seen`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> n, first_seen = np.asarray([100, 150, 400]), np.asarray([100, 100, 100])
    >>> am.losses.flexible_sampling_probability(n, first_seen, total=1000, num_classes=10)
    array([0. , 0.5, 1. ])

    References
    ----------
    .. [1] B. H. Lee, O. Jung, J. Choi, S. Y. Chun, "Online continual learning on hierarchical
       label expansion", ICCV 2023, arXiv:2308.14374.
    """
    name = "flexible_sampling_probability"
    _array.required(name, n=n, first_seen=first_seen)
    share = positive(name, "factor", factor) * positive(name, "total", total)
    share = share / check_count(name, "num_classes", num_classes)
    common_shape(name, n=n, first_seen=first_seen)
    ops = operands(name, n=n, first_seen=first_seen)
    return ops.finish(ops.xp.clip((ops.arrays[0] - ops.arrays[1]) / share, 0.0, 1.0))
