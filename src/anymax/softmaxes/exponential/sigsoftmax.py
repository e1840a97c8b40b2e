"""Sigsoftmax: exponentials times sigmoids, and its logarithm."""

from __future__ import annotations

from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_weights import row_log_weights, row_weights
from anymax.softmaxes._rows import rows


@form(shapes="x: ... C -> ... C", papers=("1805.10829",), cost="O(n)", primitives=("row_weights",))
def sigsoftmax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Exponentials times sigmoids of the logits, normalised to sum to one along `axis`.

    .. math:: p_i = \frac{e^{x_i}\,\sigma(x_i)}{\sum_j e^{x_j}\,\sigma(x_j)}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
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
        As :func:`anymax.softmax`.

    Notes
    -----
    It is the softmax of :math:`g(x) = x + \log\sigma(x)`, which is close to x for large logits and
    to 2x for very negative ones; :math:`g' = 2 - \sigma(x)` lies between 1 and 2.  Not invariant to
    shifts: that is its point, as log-probabilities then leave the low-dimensional space of the
    logits.  Masks, empty rows and NaN as in :func:`anymax.softmax`; one exponential per logit.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.sigsoftmax(np.log(np.asarray([1.0, 3.0])))
    array([0.18181818, 0.81818182])

    References
    ----------
    .. [1] S. Kanai, Y. Fujiwara, Y. Yamanaka, S. Adachi, "Sigsoftmax: Reanalysis of the Softmax
       Bottleneck", NeurIPS 2018, arXiv:1805.10829.
    """
    r = rows("sigsoftmax", x, axis, where)
    return r.finish(row_weights(r.x, r.where, None, axis=r.axis, kind="sigsoft", value=()))


@form(
    shapes="x: ... C -> ... C",
    papers=("1805.10829",),
    cost="O(n)",
    primitives=("row_log_weights",),
)
def log_sigsoftmax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Logarithm of sigsoftmax, computed without forming it.

    .. math:: \log p_i = g(x_i) - \log\sum_j e^{g(x_j)}, \qquad g(x) = x + \log\sigma(x)

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
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
        As :func:`anymax.softmax`.

    Notes
    -----
    Finite for logits of any finite size.  The gradient of the loss :math:`-\log p_y` is
    :math:`(2 - \sigma(x_i))\,(p_i - [i = y])`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.log_sigsoftmax(np.asarray([0.0, -1e4]))
    array([     0.        , -19999.30685282])

    References
    ----------
    .. [1] S. Kanai, Y. Fujiwara, Y. Yamanaka, S. Adachi, "Sigsoftmax: Reanalysis of the Softmax
       Bottleneck", NeurIPS 2018, arXiv:1805.10829.
    """
    r = rows("log_sigsoftmax", x, axis, where)
    return r.finish(row_log_weights(r.x, r.where, None, axis=r.axis, kind="sigsoft", value=()))
