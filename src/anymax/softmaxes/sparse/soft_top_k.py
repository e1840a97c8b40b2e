"""Soft top-k: sigmoids that sum to k, and their logarithms."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_threshold import row_threshold
from anymax.softmaxes.sparse._parameters import AT_LEAST_ZERO, Axis, scaled, with_parameter


@form(
    shapes="x: ... C -> ... C", papers=("2310.10636",), cost="O(n)", primitives=("row_threshold",)
)
def soft_top_k(
    x: Array,
    /,
    *,
    k: float | Array,
    alpha: float | Array = 1.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Sigmoids of the scores, shifted together so that they sum to k.

    .. math:: p_i = \sigma(\alpha(x_i+t)),\qquad \sum_i p_i = k

    Parameters
    ----------
    x : array (..., C)
        Scores of any real dtype.
    k : float or array
        The sum, not negative and not necessarily whole; an array has size 1 along `axis`, and is
        differentiated too.
    alpha : float or array
        Steepness, positive: large is a hard top-k.  An array has size 1 along `axis`, and is
        differentiated too.  (The official configuration has 2.)
    axis : int, tuple of ints or None
        Axes to sum over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a score takes part.

    Returns
    -------
    array (..., C)
        Weights in [0, 1] that sum to k; all 1 when k is at least the number of scores that take
        part, all 0 when it is 0.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a negative k is refused.

    Notes
    -----
    The shift lies between those of k among n equal scores, all largest or all smallest,
    :math:`t\in[\ell-\max x,\ \ell-\min x]` with :math:`\alpha\ell=\log k-\log(n-k)`; Newton's
    method finds it there.  (The official bracket, 10 to either side, is too narrow beyond some
    100,000 labels: the weights then sum to more than k.)  Weights near 1 are counted by what they
    lack, so that tails of any size balance.  With :math:`v=\alpha p(1-p)` the derivative is
    :math:`\mathrm{d}p = v\,(\mathrm{d}x-\langle v,\mathrm{d}x\rangle/\lVert v\rVert_1)` and
    :math:`\partial p/\partial k = v/\lVert v\rVert_1`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.soft_top_k(np.asarray([1.0, 1.0, 1.0, 1.0]), k=3)
    array([0.75, 0.75, 0.75, 0.75])
    >>> p = am.soft_top_k(np.asarray([9.0, 7.0, 1.0, 0.0]), k=2, alpha=3.0)
    >>> p.round(3)
    array([1., 1., 0., 0.])

    References
    ----------
    .. [1] N. Gupta, F. Khatri, A. S. Rawat, S. Bhojanapalli, P. Jain, I. Dhillon, "Dual-Encoders
       for Extreme Multi-Label Classification", ICLR 2024, arXiv:2310.10636.
    """
    return _soft_top_k("soft_top_k", x, k, alpha, axis, where)


@form(
    shapes="x: ... C -> ... C", papers=("2310.10636",), cost="O(n)", primitives=("row_threshold",)
)
def log_soft_top_k(
    x: Array,
    /,
    *,
    k: float | Array,
    alpha: float | Array = 1.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Logarithms of the soft top-k weights, computed without the weights.

    .. math:: \log p_i = -\log\left(1+e^{-\alpha(x_i+t)}\right),\qquad \sum_i p_i = k

    Parameters
    ----------
    x : array (..., C)
        Scores of any real dtype.
    k : float or array
        The sum of the weights, not negative; an array has size 1 along `axis`.
    alpha : float or array
        Steepness, positive; an array has size 1 along `axis`.
    axis : int, tuple of ints or None
        Axes to sum over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a score takes part; others get -inf.

    Returns
    -------
    array (..., C)
        Logarithms, at most 0; all 0 when k is at least the number of scores that take part, all
        -inf when it is 0.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a negative k is refused.

    Notes
    -----
    Finite for scores of any finite size, where the logarithm of :func:`anymax.soft_top_k` would be
    that of 0.  With :math:`v=\alpha p(1-p)` the derivative is
    :math:`\alpha(1-p)\,(\mathrm{d}x-\langle v,\mathrm{d}x\rangle/\lVert v\rVert_1)`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.log_soft_top_k(np.asarray([200.0, 0.0]), k=1)
    array([-3.72007598e-44, -1.00000000e+02])

    References
    ----------
    .. [1] N. Gupta, F. Khatri, A. S. Rawat, S. Bhojanapalli, P. Jain, I. Dhillon, "Dual-Encoders
       for Extreme Multi-Label Classification", ICLR 2024, arXiv:2310.10636.
    """
    return _soft_top_k("log_soft_top_k", x, k, alpha, axis, where)


def _soft_top_k(name: str, x: Array, k: Any, alpha: Any, axis: Axis, where: Array | None) -> Array:
    _array.required(name, x=x)
    if alpha is None:
        raise TypeError(f"{name}: alpha is None; a positive number or an array fits")
    dtype = None
    if not _array.is_scalar(alpha):
        xp = _array.namespace(name, x=x, where=where, alpha=alpha)
        x, alpha = _array.promote(xp, name, x=x, alpha=alpha)
        dtype = x.dtype
        x, alpha = _array.widen(xp, x), _array.widen(xp, alpha)  # the product is not rounded to it
    r, parameter, value = with_parameter(name, x, axis, where, AT_LEAST_ZERO, k=k)
    x, where, scale = scaled(name, r, alpha)
    y = row_threshold(x, where, parameter, axis=r.axis, kind=name, value=value, scale=scale)
    return r.finish(y if dtype is None or y.dtype == dtype else r.xp.astype(y, dtype))
