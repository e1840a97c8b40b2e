"""Softmax regression: least squares between a softmax of linear scores and a distribution."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._operands import Operands, operands

_PAPER = ("2304.13276",)
_SHAPES = "a: ... N D, x: ... D, b: ... N"


@form(
    shapes=f"{_SHAPES} -> ",
    papers=("2304.13276", "2304.10411"),
    cost="O(N D)",
    primitives=("row_softmax",),
)
def softmax_regression_loss(
    a: Array,
    x: Array,
    b: Array,
    /,
    *,
    w: Array | None = None,
    squared: bool = True,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Half the squared distance between the softmax of linear scores and a target.

    .. math:: \ell = \tfrac12\,\lVert \mathrm{softmax}(A x) - b\rVert_2^2
        + \tfrac12\,\lVert \mathrm{diag}(w)\,A x\rVert_2^2

    Parameters
    ----------
    a : array (..., N, D)
        Data.
    x : array (..., D)
        What is fitted.
    b : array (..., N)
        Target, usually a probability vector.
    w : array (..., N), optional
        Weights of the regulariser.
    squared : bool
        Half the squared norm, as the theory has it; the norm itself, as the abstract, if False.
    where : boolean array, broadcastable to (..., N)
        True where a row of A takes part; others are left out of the softmax and of both norms.
    weight : array, broadcastable to (...)
        Weights of the problems; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        A problem without a row costs 0 and is left out of the mean.

    Returns
    -------
    array () or (...)
        A scalar, or the losses of the problems with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, `where` is not boolean, or shapes or the reduction don't fit.

    Notes
    -----
    With f the softmax, c = f - b: the gradient by A x is :math:`f \circ (c - \langle f, c\rangle)`
    (plus :math:`w^2 \circ A x`).  The norm itself has gradient 0 where it is 0.  Without w, a
    multiple of the vector of ones added to A x changes nothing.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> a, b = np.eye(2), np.asarray([1.0, 0.0])
    >>> float(am.softmax_regression_loss(a, np.zeros(2), b))
    0.25

    References
    ----------
    .. [1] S. Li, Z. Song, Y. Xia, T. Yu, T. Zhou, "The closeness of in-context learning and weight
       shifting for softmax regression", 2023, definition 1.2. arXiv:2304.13276.
    .. [2] Y. Deng, Z. Li, Z. Song, "Attention scheme inspired softmax regression", 2023 (the
       regulariser). arXiv:2304.10411.
    """
    name = "softmax_regression_loss"
    check_reduction(name, reduction)
    _array.namespace(name, a=a, where=where)
    ops, (a, x, b, w, weight) = _prepared(name, a, x, b, w=w, weight=weight)
    xp, rows = ops.xp, tuple(a.shape[:-2])
    _array.check_mask(name, "where", where, a.shape[:-1], "the scores")
    keep = xp.ones_like(a[..., 0]) == 1
    if where is not None:
        keep = keep & where
    live = xp.any(keep, axis=-1)
    z = _scores(xp, select(xp, keep[..., None], a), select(xp, live[..., None], x))
    c = select(xp, keep, row_softmax(z, keep, axis=(z.ndim - 1,), scale=1.0) - b)
    loss = _half(xp, xp.sum(c * c, axis=-1), squared)
    if w is not None:
        loss = loss + 0.5 * xp.sum(xp.square(select(xp, keep, w * z)), axis=-1)
    if weight is not None:
        _array.check_broadcast(name, "weight", weight, rows, "the unreduced loss")
    return ops.finish(reduced(xp, loss, reduction, live=live, weight=weight))


def _prepared(
    function: str, a: Array, x: Array, b: Array, **others: Array | None
) -> tuple[Operands, tuple[Any, ...]]:
    _array.required(function, a=a, x=x, b=b)
    ops = operands(function, a=a, x=x, b=b, **others)
    given = dict(zip(("a", "x", "b"), ops.arrays[:3]))
    _shapes.check(function, f"{_SHAPES} ->", given)
    full = tuple(given["a"].shape)
    _array.check_broadcast(function, "x", given["x"], (*full[:-2], full[-1]), "the problems of a")
    _array.check_broadcast(function, "b", given["b"], full[:-1], "the scores")
    w = others.get("w")
    if w is not None:
        _array.check_broadcast(function, "w", w, full[:-1], "the scores")
    return ops, ops.arrays


def _scores(xp: Any, a: Array, x: Array) -> Array:
    return xp.sum(a * x[..., None, :], axis=-1)


def _half(xp: Any, square: Array, squared: bool) -> Array:
    """Half of a squared norm, or the norm, whose gradient at 0 is 0."""
    if squared:
        return 0.5 * square
    some = square != 0
    return select(xp, some, xp.sqrt(select(xp, some, square, 1.0)))


@form(
    shapes=f"{_SHAPES} -> ... D D",
    papers=("2304.13276", "2304.10411"),
    cost="O(N D^2)",
    level="module",
    primitives=("row_softmax",),
)
def softmax_regression_hessian(a: Array, x: Array, b: Array, /, *, w: Array | None = None) -> Array:
    r"""Matrix of second derivatives of the softmax regression loss.

    .. math:: H = A^\top B A,\quad B = J^2 + \mathrm{diag}(f \circ c) - (f \circ c) f^\top
        - f (f \circ c)^\top + 2\langle f, c\rangle f f^\top - \langle f, c\rangle\,\mathrm{diag}(f)
        + \mathrm{diag}(w^2)

    with :math:`f = \mathrm{softmax}(A x)`, :math:`c = f - b` and
    :math:`J = \mathrm{diag}(f) - f f^\top`.

    Parameters
    ----------
    a : array (..., N, D)
        Data.
    x : array (..., D)
        Where the derivatives are taken.
    b : array (..., N)
        Target.
    w : array (..., N), optional
        Weights of the regulariser.

    Returns
    -------
    array (..., D, D)
        The Hessian by `x` of ``softmax_regression_loss(a, x, b, w=w)``.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or the shapes don't fit.

    Notes
    -----
    B is a diagonal and two ranks, so no N x N matrix is formed.  Positive definite where every
    :math:`w_i^2` exceeds 4 (the bound :math:`-4 \preceq B` is quoted from memory).  With N = 1 it
    is 0 but for w.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> a, b = np.eye(2), np.asarray([0.5, 0.5])
    >>> am.losses.softmax_regression_hessian(a, np.zeros(2), b)
    array([[ 0.125, -0.125],
           [-0.125,  0.125]])

    References
    ----------
    .. [1] S. Li, Z. Song, Y. Xia, T. Yu, T. Zhou, "The closeness of in-context learning and weight
       shifting for softmax regression", 2023. arXiv:2304.13276.
    .. [2] Y. Deng, Z. Li, Z. Song, "Attention scheme inspired softmax regression", 2023, section 5.
       arXiv:2304.10411.
    """
    ops, (a, x, b, w) = _prepared("softmax_regression_hessian", a, x, b, w=w)
    xp = ops.xp
    z = _scores(xp, a, x)
    f = row_softmax(z, None, axis=(z.ndim - 1,), scale=1.0)
    c = f - b
    mean = xp.sum(f * c, axis=-1, keepdims=True)
    diagonal = f * (f + c - mean)
    if w is not None:
        diagonal = diagonal + w * w
    across = xp.matrix_transpose(a)
    p = xp.sum(a * (f * (f + c))[..., None], axis=-2)
    q = xp.sum(a * f[..., None], axis=-2)
    square = xp.sum(f * f, axis=-1, keepdims=True) + 2.0 * mean
    h = xp.matmul(across, a * diagonal[..., None])
    crossed = p[..., :, None] * q[..., None, :]
    h = h - crossed - xp.matrix_transpose(crossed)
    return ops.finish(h + (square * q)[..., :, None] * q[..., None, :])


@form(
    shapes="a: ... N D, x_old: ... D, x_new: ... D, b: ... N -> ... N",
    papers=_PAPER,
    cost="O(N D)",
    level="module",
    primitives=("row_softmax",),
)
def icl_label_shift(a: Array, x_old: Array, x_new: Array, b: Array, /) -> Array:
    r"""The target that makes the old parameters as wrong as the new ones are about `b`.

    .. math:: b' = b - \mathrm{softmax}(A x_{\text{new}}) + \mathrm{softmax}(A x_{\text{old}})

    Parameters
    ----------
    a : array (..., N, D)
        Data.
    x_old, x_new : array (..., D) and (..., D)
        Parameters before and after a step.
    b : array (..., N)
        Target.

    Returns
    -------
    array (..., N)
        The shifted target.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or the shapes don't fit.

    Notes
    -----
    A step of the parameters is a step of the data: the losses of (x_new, b) and of (x_old, b') are
    equal.  Softmax is 1/2-Lipschitz, so the shift is at most half of
    :math:`\lVert A (x_{\text{new}} - x_{\text{old}})\rVert_2`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> b = np.asarray([1.0, 0.0])
    >>> am.losses.icl_label_shift(np.eye(2), np.zeros(2), np.log(np.asarray([1.0, 3.0])), b)
    array([ 1.25, -0.25])

    References
    ----------
    .. [1] S. Li, Z. Song, Y. Xia, T. Yu, T. Zhou, "The closeness of in-context learning and weight
       shifting for softmax regression", 2023, theorem 1.3. arXiv:2304.13276.
    """
    name = "icl_label_shift"
    _array.required(name, a=a, x_old=x_old, x_new=x_new, b=b)
    ops = operands(name, a=a, x_old=x_old, x_new=x_new, b=b)
    xp, (a, x_old, x_new, b) = ops.xp, ops.arrays
    text = "a: ... N D, x_old: ... D, x_new: ... D, b: ... N ->"
    _shapes.check(name, text, {"a": a, "x_old": x_old, "x_new": x_new, "b": b})
    z_old, z_new = _scores(xp, a, x_old), _scores(xp, a, x_new)
    old, new = (row_softmax(z, None, axis=(z.ndim - 1,), scale=1.0) for z in (z_old, z_new))
    return ops.finish(b - new + old)
