"""The ratio of boundaries that dynamic chunking aims at."""

from __future__ import annotations

import math

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.losses._elements import elements
from anymax.losses._reduction import mean_over
from anymax.primitives._masked import select


@form(shapes="p: ... L, boundary: ... L -> ", papers=("2507.07955",), cost="O(n)")
def ratio_loss(
    p: Array, boundary: Array, /, *, compression: float, where: Array | None = None
) -> Array:
    r"""Ratio loss of dynamic chunking: one boundary in N tokens is best.

    .. math:: \frac{N}{N-1}\big((N-1)\,F\,G + (1-F)(1-G)\big), \qquad
        F = \operatorname{mean} b,\quad G = \operatorname{mean} p

    Parameters
    ----------
    p : array (..., L)
        Probabilities of a boundary at each token.
    boundary : array (..., L)
        b: the boundaries that were set, boolean or 0 and 1; a constant.
    compression : float
        N, the tokens that a chunk should have; above 1.
    where : boolean array, broadcastable to `p`
        True where a token takes part; the official means include padding.

    Returns
    -------
    array ()
        The loss.

    Raises
    ------
    TypeError
        An argument has the wrong kind of dtype, or `compression` is no number.
    ValueError
        Shapes do not fit, or `compression` isn't above 1.

    Notes
    -----
    One loss of all tokens, not one per example, hence no reduction.  It is 1 for F = G = 1/N, the
    least along F = G; off that diagonal it falls to 0 (F = 0, G = 1).  The gradient flows through
    G alone: N (N F - 1) / ((N - 1) n) for each of n tokens, which pushes probabilities down when
    there are too many boundaries.  No tokens cost 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> p = np.asarray([1.0, 0.25, 0.125, 0.125])
    >>> am.ratio_loss(p, p > 0.5, compression=2.0) + 0.0
    np.float64(1.125)

    References
    ----------
    .. [1] S. Hwang, B. Wang, A. Gu, "Dynamic chunking for end-to-end hierarchical sequence
       modeling", arXiv:2507.07955, 2025, equation 10.
    """
    name = "ratio_loss"
    n = _compression(name, compression)
    _array.required(name, p=p, boundary=boundary)
    if not _array.is_bool(boundary):
        boundary = stop_gradient(boundary)
    e = elements(name, p=p, boundary=boundary, where=where)
    xp, (p, b) = e.xp, e.arrays
    count = xp.ones_like(p) if where is None else xp.astype(e.where, p.dtype)
    count = xp.sum(count)
    f, g = mean_over(xp, xp.sum(b), count), mean_over(xp, xp.sum(p), count)
    loss = n / (n - 1.0) * ((n - 1.0) * f * g + (1.0 - f) * (1.0 - g))
    return _array.cast(xp, select(xp, count != 0, loss), e.dtype)


def _compression(function: str, value: float) -> float:
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: compression is {value!r}; a number above 1 fits") from None
    if not (value > 1.0 and math.isfinite(value)):
        raise ValueError(f"{function}: compression is {value}; a finite number above 1 fits")
    return value
