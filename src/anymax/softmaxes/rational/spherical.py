"""The spherical family: squares and Taylor polynomials in the place of exponentials."""

from __future__ import annotations

from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_weights import row_log_weights, row_weights
from anymax.softmaxes._rows import rows
from anymax.softmaxes.rational._parameters import even, not_negative


@form(
    shapes="x: ... C -> ... C",
    papers=("1604.08859", "1511.05042"),
    cost="O(n)",
    primitives=("row_weights",),
)
def spherical_softmax(
    x: Array,
    /,
    *,
    eps: float = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Squares of the logits, normalised to sum to one along `axis`.

    .. math:: p_i = \frac{x_i^2 + \epsilon}{\sum_j (x_j^2 + \epsilon)}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype; their sign does not matter.
    eps : float
        Added to every square; not negative.  0 makes the weights invariant to the scale of `x`.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    array (..., C)
        Weights in [0, 1].

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a negative `eps` is a ValueError.

    Notes
    -----
    A row of zeros has no direction: with `eps` 0 it is uniform over the logits that take part, with
    zero gradients.  A logit of -inf is masked.  Rows are divided by their largest magnitude, so no
    square overflows.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.spherical_softmax(np.asarray([1.0, -2.0, 0.0]))
    array([0.2, 0.8, 0. ])

    References
    ----------
    .. [1] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859.
    .. [2] A. de Brebisson, P. Vincent, "An Exploration of Softmax Alternatives Belonging to the
       Spherical Loss Family", ICLR 2016, arXiv:1511.05042.
    """
    value = (not_negative("spherical_softmax", eps),)
    r = rows("spherical_softmax", x, axis, where)
    return r.finish(row_weights(r.x, r.where, None, axis=r.axis, kind="spherical", value=value))


@form(
    shapes="x: ... C -> ... C",
    papers=("1604.08859", "1511.05042"),
    cost="O(n)",
    primitives=("row_log_weights",),
)
def log_spherical_softmax(
    x: Array,
    /,
    *,
    eps: float = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Logarithm of the spherical softmax.

    .. math:: \log p_i = \log(x_i^2 + \epsilon) - \log\sum_j (x_j^2 + \epsilon)

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype; their sign does not matter.
    eps : float
        Added to every square; not negative.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part; others get -inf.

    Returns
    -------
    array (..., C)
        Log-probabilities; -inf where masked, and all over an empty row.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a negative `eps` is a ValueError.

    Notes
    -----
    With `eps` 0 a logit of 0 gives -inf and has no gradient, and the derivative
    :math:`2 / x_i` grows without bound near it: the authors keep an `eps`, whose value is theirs to
    tune.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.log_spherical_softmax(np.asarray([1.0, -1.0, 0.0]))
    array([-0.69314718, -0.69314718,        -inf])

    References
    ----------
    .. [1] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859.
    .. [2] A. de Brebisson, P. Vincent, "An Exploration of Softmax Alternatives Belonging to the
       Spherical Loss Family", ICLR 2016, arXiv:1511.05042.
    """
    value = (not_negative("log_spherical_softmax", eps),)
    r = rows("log_spherical_softmax", x, axis, where)
    return r.finish(row_log_weights(r.x, r.where, None, axis=r.axis, kind="spherical", value=value))


@form(
    shapes="x: ... C -> ... C",
    papers=("1604.08859", "1511.05042"),
    cost="O(n order)",
    primitives=("row_weights",),
)
def taylor_softmax(
    x: Array,
    /,
    *,
    order: int = 2,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Taylor polynomials of the exponentials, normalised to sum to one along `axis`.

    .. math:: p_i = \frac{t(x_i)}{\sum_j t(x_j)}, \qquad t(x) = \sum_{k=0}^{m} \frac{x^k}{k!}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    order : int
        Degree m of the polynomials: even, so that they are positive.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    array (..., C)
        Weights in (0, 1).

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; an `order` that is odd or below 2 is a ValueError.

    Notes
    -----
    Not monotone: of order 2, logits of -1 - t and -1 + t have the same weight, so very negative
    logits get large ones.  Not invariant to shifts.  A logit of -inf is masked.  The polynomial is
    computed as a product of squares, :math:`((x+1)^2 + 1)/2` for order 2, without cancellation, and
    scaled by the row, so that no power overflows.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.taylor_softmax(np.asarray([0.0, 1.0, 2.0]))
    array([0.11764706, 0.29411765, 0.58823529])

    References
    ----------
    .. [1] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859.
    .. [2] A. de Brebisson, P. Vincent, "An Exploration of Softmax Alternatives Belonging to the
       Spherical Loss Family", ICLR 2016, arXiv:1511.05042.
    """
    value = (even("taylor_softmax", order),)
    r = rows("taylor_softmax", x, axis, where)
    return r.finish(row_weights(r.x, r.where, None, axis=r.axis, kind="taylor", value=value))


@form(
    shapes="x: ... C -> ... C",
    papers=("1604.08859", "1511.05042"),
    cost="O(n order)",
    primitives=("row_log_weights",),
)
def log_taylor_softmax(
    x: Array,
    /,
    *,
    order: int = 2,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Logarithm of the Taylor softmax.

    .. math:: \log p_i = \log t(x_i) - \log\sum_j t(x_j), \qquad t(x) = \sum_{k=0}^{m}
        \frac{x^k}{k!}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    order : int
        Degree m of the polynomials: even, so that they are positive.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part; others get -inf.

    Returns
    -------
    array (..., C)
        Log-probabilities; -inf where masked, and all over an empty row.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; an `order` that is odd or below 2 is a ValueError.

    Notes
    -----
    The gradient of :math:`\log p_c` is :math:`[i = c]\,t'(x_c)/t(x_c) - t'(x_i)/\sum_j t(x_j)`,
    where t' is the polynomial of one degree less.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.log_taylor_softmax(np.asarray([0.0, 1.0, 2.0]))
    array([-2.14006616, -1.22377543, -0.53062825])

    References
    ----------
    .. [1] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859.
    .. [2] A. de Brebisson, P. Vincent, "An Exploration of Softmax Alternatives Belonging to the
       Spherical Loss Family", ICLR 2016, arXiv:1511.05042.
    """
    value = (even("log_taylor_softmax", order),)
    r = rows("log_taylor_softmax", x, axis, where)
    return r.finish(row_log_weights(r.x, r.where, None, axis=r.axis, kind="taylor", value=value))
