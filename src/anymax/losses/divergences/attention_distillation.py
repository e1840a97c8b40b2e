"""Distillation of attention weights: the cross entropy of a student's rows under a teacher's."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import class_axis, class_last
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses.divergences._pair import check_weight, with_infinite
from anymax.primitives._masked import nonzero, select
from anymax.softmaxes._operands import common_shape, operands, spread


@form(
    shapes="pred_weights: ... S, true_weights: ... S -> ...", papers=("2402.04347",), cost="O(n)"
)  # fmt: skip
def attention_distillation_loss(
    pred_weights: Array,
    true_weights: Array,
    /,
    *,
    renormalize: bool = False,
    eps: float = 0.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of attention weights under the weights of a teacher.

    .. math:: \ell_i = -\sum_j p_{ij} \log a'_{ij}, \qquad a'_{ij} = \max(a_{ij}, \epsilon)
        \quad\text{or}\quad \frac{\max(a_{ij}, \epsilon)}{\sum_l \max(a_{il}, \epsilon)}

    Parameters
    ----------
    pred_weights : array (..., S)
        Weights a of the student over S keys, at least 0.
    true_weights : array (..., S)
        Weights p of the teacher; broadcasts against the student's.
    renormalize : bool
        Divide the student's clipped weights by their sum, as the successor of the official code
        does (with ``eps=1e-12``).
    eps : float
        Lower bound of the student's weights.
    axis : int
        The axis of the keys.
    where : boolean array, broadcastable to the weights
        True where a key takes part.  Shape (..., 1) keeps or drops whole queries.
    weight : array, broadcastable to the unreduced loss
        Weights of the rows.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of rows that count, or by the sum of their weights.

    Returns
    -------
    array () or (...)
        The loss, or one per query with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument has the wrong kind of dtype, or arrays of two libraries are mixed.
    ValueError
        Shapes do not fit, `eps` is negative, or `reduction` is unknown.
    IndexError
        `axis` is out of bounds.

    Notes
    -----
    At least the entropy of p, with equality for a = p.  The two variants agree where rows sum to
    one; rows of saturated features don't, and differ by about 1e-2.  0 log 0 is 0; a key of weight
    0 that the teacher attends costs +inf with ``eps=0``.  A query whose teacher attends nothing
    costs 0 and leaves the mean.  The derivative by a is -p / a above `eps` (plus the sum of p over
    that of a', when renormalised) and 0 below.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> pred, true = np.asarray([[0.25, 0.75]]), np.asarray([[1.0, 0.0]])
    >>> am.attention_distillation_loss(pred, true) / np.log(4.0)
    np.float64(1.0)

    References
    ----------
    .. [1] M. Zhang, K. Bhatia, H. Kumbong, C. Re, "The Hedgehog & the Porcupine: expressive linear
       attentions with softmax mimicry", arXiv:2402.04347, 2024, equation 5.
    """
    name = "attention_distillation_loss"
    check_reduction(name, reduction)
    if not eps >= 0.0:
        raise ValueError(f"{name}: eps is {eps!r}; a number of at least 0 fits")
    _array.namespace(name, pred_weights=pred_weights, true_weights=true_weights, where=where)
    _array.required(name, pred_weights=pred_weights, true_weights=true_weights)
    given = operands(name, pred_weights=pred_weights, true_weights=true_weights, weight=weight)
    xp, (a, p, weight) = given.xp, given.arrays
    shape = common_shape(name, pred_weights=a, true_weights=p)
    axis = class_axis(name, axis, len(shape))
    _array.check_mask(name, "where", where, shape, "pred_weights")
    check_weight(name, weight, shape[:axis] + shape[axis + 1 :])
    a, p = (class_last(xp, spread(xp, x, shape), axis) for x in (a, p))
    if where is not None:
        where = class_last(xp, xp.broadcast_to(where, shape), axis)
        a, p = select(xp, where, a), select(xp, where, p)
    a = xp.where(a <= eps, xp.full_like(a, eps), a)  # NaN stays
    part, possible = p != 0, a != 0
    loss = -xp.sum(p * select(xp, part, xp.log(nonzero(xp, a))), axis=-1)
    if renormalize:
        total = nonzero(xp, xp.sum(a if where is None else select(xp, where, a), axis=-1))
        loss = loss + xp.sum(p, axis=-1) * xp.log(total)
    loss = with_infinite(xp, loss, part & ~possible)
    y = reduced(xp, loss, reduction, live=xp.any(part, axis=-1), weight=weight)
    return given.finish(y)
