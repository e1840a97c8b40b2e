"""Regularisers of adapters' factors."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives._masked import select
from anymax.softmaxes._operands import common_shape, operands

_SHAPES = "u: ... M R, v: ... R N -> ..."


@form(shapes=_SHAPES, papers=("2409.00055",), cost="O((M + N) R^2)")
def orthonormal_regularizer(
    u: Array,
    v: Array,
    /,
    *,
    squared: bool = False,
    halve: bool = False,
    reduction: str = "mean",
) -> Array:
    r"""Distance of two factors from having orthonormal columns, and orthonormal rows.

    .. math:: \lVert U^\top U - I \rVert_F + \lVert V V^\top - I \rVert_F

    Parameters
    ----------
    u : array (..., M, R)
        Left factors: columns are to be orthonormal.
    v : array (..., R, N)
        Right factors: rows are to be orthonormal.
    squared : bool
        Take the squares of both norms, which are smooth.
    halve : bool
        Halve the sum, as the official code does (it averages over all matrices).
    reduction : {"mean", "sum", "none"}
        Over the adapters.

    Returns
    -------
    array () or (...)
        The loss, or one per adapter with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument is no real array.
    ValueError
        Shapes do not fit, or `reduction` is unknown.

    Notes
    -----
    The derivative by U is 2 U (U'U - I) over the norm, taken as 0 where the norm is; near
    orthonormal factors it is a noisy direction of constant size, and `squared` gives 4 U (U'U - I).
    At least sqrt(R - M) where R is above M.  Gram matrices are formed in float32 or wider; the
    expanded norm, which needs none, cancels near 0.  No adapters cost 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.orthonormal_regularizer(2 * np.eye(3, 1), np.eye(1, 3))
    np.float64(3.0)

    References
    ----------
    .. [1] Y. Cao, "SORSA: singular values and orthonormal regularized singular vectors adaptation
       of large language models", arXiv:2409.00055, 2024.
    """
    name = "orthonormal_regularizer"
    check_reduction(name, reduction)
    _array.required(name, u=u, v=v)
    given = operands(name, u=u, v=v)
    xp, (u, v) = given.xp, given.arrays
    _shapes.check(name, _SHAPES, {"u": u, "v": v})
    left, right = _distance(xp, xp.matrix_transpose(u), squared), _distance(xp, v, squared)
    common_shape(name, u=left, v=right)
    loss = left + right
    return given.finish(reduced(xp, 0.5 * loss if halve else loss, reduction))


def _distance(xp: Any, rows: Array, squared: bool) -> Array:
    """Frobenius norm of the Gram matrix of rows less the identity, or its square."""
    r = rows.shape[-2]
    places = _array.arange(xp, r, rows)
    identity = _array.cast(xp, places[:, None] == places, rows.dtype)
    m = xp.matmul(rows, xp.matrix_transpose(rows)) - identity
    square = xp.sum(m * m, axis=(-2, -1))
    if squared:
        return square
    some = square != 0
    return select(xp, some, xp.sqrt(select(xp, some, square, 1.0)))
