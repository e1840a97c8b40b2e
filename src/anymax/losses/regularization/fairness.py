"""Demographic parity: the difference between the means of two groups."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, mean_over, reduced
from anymax.primitives._masked import select
from anymax.softmaxes._operands import operands
from anymax.softmaxes._rows import positive

_PAPER = ("2310.11401",)


@form(shapes="pred: B, group: B -> ", papers=_PAPER, cost="O(n)", level="module")
def demographic_parity(
    pred: Array, group: Array, /, *, signed: bool = False, where: Array | None = None
) -> Array:
    r"""Difference between the mean predictions of two groups.

    .. math:: \Big| \operatorname{mean}_{g_b = 1} y_b - \operatorname{mean}_{g_b = 0} y_b \Big|

    Parameters
    ----------
    pred : array (B,)
        Predictions.
    group : boolean array (B,)
        Whether an example belongs to the protected group.
    signed : bool
        Keep the sign of the difference.
    where : boolean array, broadcastable to `pred`
        True where an example takes part.

    Returns
    -------
    array ()
        The difference; 0 where a group is empty (NaN in the official code).

    Raises
    ------
    TypeError
        An argument has the wrong kind of dtype.
    ValueError
        Shapes do not fit.

    Notes
    -----
    Between 0 and 1 for predictions in [0, 1].  The derivative by a prediction is plus or minus one
    over the size of its group.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> pred, group = np.asarray([1.0, 0.0, 1.0, 0.5]), np.asarray([True, True, False, False])
    >>> am.losses.demographic_parity(pred, group, signed=True) + 0.0
    np.float64(-0.25)

    References
    ----------
    .. [1] S. Basu Roy Chowdhury et al., "Enhancing group fairness in online settings using oblique
       decision forests", arXiv:2310.11401, 2024, section 2.
    """
    name = "demographic_parity"
    xp, x, dtype = _prepared(name, "pred", pred, group, where, ndim=1)
    difference, _ = _difference(xp, x, group, where)
    return _array.cast(xp, difference if signed else xp.abs(difference), dtype)


@form(shapes="node_probs: B M, group: B -> ", papers=_PAPER, cost="O(n)")
def node_parity_penalty(
    node_probs: Array,
    group: Array,
    /,
    *,
    delta: float = 0.01,
    coeff: float = 1.0,
    where: Array | None = None,
    reduction: str = "sum",
) -> Array:
    r"""Huber penalty on the difference between two groups at every node of a tree.

    .. math::

        c \sum_m H_\delta(F_m), \qquad
        F_m = \operatorname{mean}_{g_b = 1} n_{bm} - \operatorname{mean}_{g_b = 0} n_{bm}, \qquad
        H_\delta(F) = \begin{cases} F^2 / 2 & |F| \le \delta \\
        \delta\,(|F| - \delta/2) & \text{otherwise} \end{cases}

    Parameters
    ----------
    node_probs : array (B, M)
        Decisions of the M nodes for B examples.
    group : boolean array (B,)
        Whether an example belongs to the protected group.
    delta : float
        Where the penalty turns from a square into a line; positive.
    coeff : float
        c multiplies the finished penalty.
    where : boolean array, broadcastable to `node_probs`
        True where a decision takes part; shape (B, 1) keeps or drops whole examples.
    reduction : {"sum", "mean", "none"}
        Over the nodes; the paper sums.

    Returns
    -------
    array () or (M,)
        The penalty, or one per node with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument has the wrong kind of dtype.
    ValueError
        Shapes do not fit, `delta` isn't positive, or `reduction` is unknown.

    Notes
    -----
    The derivative by F is F clipped to [-delta, delta].  The official code has another gradient, F
    below delta and a sign of size 1 above, which jumps and is the gradient of no value; it isn't
    offered.  A node without examples of both groups costs 0 and leaves the mean.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> nodes = np.asarray([[1.0, 0.5], [0.0, 0.5]])
    >>> am.node_parity_penalty(nodes, np.asarray([True, False]), delta=0.5) + 0.0
    np.float64(0.375)

    References
    ----------
    .. [1] S. Basu Roy Chowdhury et al., "Enhancing group fairness in online settings using oblique
       decision forests", arXiv:2310.11401, 2024, section 3.
    """
    name = "node_parity_penalty"
    check_reduction(name, reduction)
    delta = positive(name, "delta", delta)
    xp, x, dtype = _prepared(name, "node_probs", node_probs, group, where, ndim=2)
    f, live = _difference(xp, x, group[..., None], where)
    size = xp.abs(f)
    penalty = xp.where(size <= delta, 0.5 * f * f, delta * (size - 0.5 * delta))
    return _array.cast(xp, reduced(xp, coeff * penalty, reduction, live=live), dtype)


def _prepared(
    function: str, name: str, x: Array, group: Array, where: Array | None, *, ndim: int
) -> tuple[Any, Array, Any]:
    """Numbers (B,) or (B, M) in float32 or wider, 0 where nothing takes part."""
    _array.namespace(function, **{name: x}, group=group, where=where)
    _array.required(function, **{name: x}, group=group)
    given = operands(function, **{name: x})
    xp, (x,) = given.xp, given.arrays
    if not _array.is_bool(group):
        raise TypeError(
            f"{function}: group has dtype {_array.dtype_name(group)}; a boolean array fits, e.g. "
            "group != 0"
        )
    if x.ndim != ndim or tuple(group.shape) != tuple(x.shape[:1]):
        wanted = "(B,)" if ndim == 1 else "(B, M)"
        raise ValueError(
            f"{function}: {name} has shape {_array.shape_text(x.shape)} and group "
            f"{_array.shape_text(group.shape)}; {wanted} and (B,) fit"
        )
    _array.check_mask(function, "where", where, x.shape, name)
    return xp, x if where is None else select(xp, where, x), given.dtype


def _difference(xp: Any, x: Array, group: Array, where: Array | None) -> tuple[Array, Array]:
    """Mean of the group less that of the others, along the first axis, and where there is any."""
    some, means = None, []
    for part in (group, ~group):
        part = xp.broadcast_to(part if where is None else part & where, x.shape)
        count = xp.sum(xp.astype(part, x.dtype), axis=0)
        means.append(mean_over(xp, xp.sum(select(xp, part, x), axis=0), count))
        some = count != 0 if some is None else some & (count != 0)
    return select(xp, some, means[0] - means[1]), some
