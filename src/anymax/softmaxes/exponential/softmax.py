"""Softmax and its near relatives: log-softmax, softmin, logsumexp."""

from __future__ import annotations

from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_softmax import row_log_softmax, row_logsumexp, row_softmax
from anymax.softmaxes._rows import rows
from anymax.softmaxes.exponential import _weighted


@form(
    shapes="x: ... C -> ... C",
    papers=("classic",),
    cost="O(n)",
    primitives=("row_softmax",),
    quiet=False,
)
def softmax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Exponentials of the logits, normalised to sum to one along `axis`.

    .. math:: p_i = \frac{e^{x_i/T}}{\sum_j e^{x_j/T}}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype; integers go to the library's default floating dtype, float16 and
        bfloat16 are summed in float32 and rounded once.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.  Others get weight exactly 0, whatever they hold.
    temperature : float or array
        Divides the logits; a positive number, or an array whose size along `axis` is 1.  An array
        is differentiated too.

    Returns
    -------
    array (..., C)
        Weights in [0, 1], of the shape and floating dtype of `x`.

    Raises
    ------
    TypeError
        `where` is not boolean, `x` is complex or no array.
    ValueError
        `where` or `temperature` does not fit `x`, or a temperature is not positive.
    IndexError
        `axis` is out of bounds.

    Notes
    -----
    The maximum is subtracted first, so logits of any size are safe.  A logit of -inf is masked.
    A row with nothing to attend gives zeros with zero gradients; NaN or +inf that takes part gives
    NaN in its row only, and masked cells of such a row stay 0.  The derivative is
    :math:`\mathrm{d}p = p\,(\mathrm{d}x - \langle p, \mathrm{d}x\rangle)/T`.
    One read and one write of memory by the kernels; plain array code makes about five passes.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmax(np.log(np.asarray([1.0, 2.0, 5.0])))
    array([0.125, 0.25 , 0.625])
    >>> am.softmax(np.asarray([0.0, np.nan]), where=np.asarray([True, False]))
    array([1., 0.])

    References
    ----------
    .. [1] J. S. Bridle, "Probabilistic interpretation of feedforward classification network
       outputs", in Neurocomputing, Springer, 1990.
    """
    if axis == -1 and where is None and type(temperature) is float and temperature == 1.0:
        y = row_softmax.lane(x)
        if y is not None:
            return y
    r = rows("softmax", x, axis, where, temperature)
    return r.finish(row_softmax(r.x, r.where, axis=r.axis, scale=r.scale))


@form(
    shapes="x: ... C -> ... C",
    papers=("classic",),
    cost="O(n)",
    primitives=("row_softmax",),
    quiet=False,
)
def softmin(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Softmax of the negated logits: the smallest gets the largest weight.

    .. math:: p_i = \frac{e^{-x_i/T}}{\sum_j e^{-x_j/T}}

    Parameters
    ----------
    x : array (..., C)
        Costs of any real dtype.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a cost takes part.
    temperature : float or array
        Divides the costs; positive, size 1 along `axis`.

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
    A cost of +inf is masked, and a cost of -inf gives NaN in its row, as the logits are ``-x``.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmin(np.log(np.asarray([1.0, 2.0, 4.0])))
    array([0.57142857, 0.28571429, 0.14285714])

    References
    ----------
    .. [1] J. S. Bridle, "Probabilistic interpretation of feedforward classification network
       outputs", in Neurocomputing, Springer, 1990.
    """
    r = rows("softmin", x, axis, where, temperature, negate=True)
    return r.finish(row_softmax(r.x, r.where, axis=r.axis, scale=r.scale))


@form(
    shapes="x: ... C -> ... C",
    papers=("classic",),
    cost="O(n)",
    primitives=("row_log_softmax",),
    quiet=False,
)
def log_softmax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Logarithm of softmax, computed without ever forming the softmax.

    .. math:: \log p_i = \frac{x_i}{T} - \log\sum_j e^{x_j/T}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part; others get -inf.
    temperature : float or array
        Divides the logits; positive, size 1 along `axis`.

    Returns
    -------
    array (..., C)
        Log-probabilities, at most 0; -inf where masked, and all over an empty row.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    Finite for logits of any finite size, where ``log(softmax(x))`` underflows.  The derivative is
    :math:`(\mathrm{d}x - \langle p,\mathrm{d}x\rangle)/T`; masked cells have gradient exactly 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.log_softmax(np.asarray([0.0, -1e4]))
    array([     0., -10000.])

    References
    ----------
    .. [1] J. S. Bridle, "Probabilistic interpretation of feedforward classification network
       outputs", in Neurocomputing, Springer, 1990.
    """
    if axis == -1 and where is None and type(temperature) is float and temperature == 1.0:
        y = row_log_softmax.lane(x)
        if y is not None:
            return y
    r = rows("log_softmax", x, axis, where, temperature)
    return r.finish(row_log_softmax(r.x, r.where, axis=r.axis, scale=r.scale))


@form(
    shapes="x: ... C -> ...",
    papers=("classic",),
    cost="O(n)",
    primitives=("row_logsumexp",),
    quiet=False,
)
def logsumexp(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    weight: Array | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
) -> Array | tuple[Array, Array]:
    r"""Logarithm of a sum of exponentials, weighted if asked, without overflow.

    .. math:: \mathrm{lse}(x) = \log\sum_i w_i\,e^{x_i}

    Parameters
    ----------
    x : array (..., C)
        Exponents, real or complex.
    axis : int, tuple of ints or None
        Axes to sum over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a term takes part.
    weight : array, broadcastable against `x`
        Factors of any sign (SciPy's ``b``); a factor 0 drops its term, whatever the exponent.
    keepdims : bool
        Keep the summed axes with size 1.
    return_sign : bool
        Return the sign of the sum too; a negative sum then has a real logarithm of its magnitude.

    Returns
    -------
    lse : array (...)
        -inf for an empty sum; NaN for a negative sum unless `return_sign`.
    sign : array (...)
        With `return_sign`: -1, 0 or 1, or a complex number of modulus 1 for complex `x`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    Without weights, +inf gives +inf and NaN gives NaN; the gradient is the softmax, and 0 for an
    empty row.  The largest terms are split off before the logarithm, so a sum barely above one
    keeps its relative precision.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> round(float(am.logsumexp(np.asarray([1000.0, 1000.0]))), 6)
    1000.693147
    >>> value, sign = am.logsumexp(
    ...     np.asarray([0.0, 1.0]), weight=np.asarray([1.0, -1.0]), return_sign=True)
    >>> round(float(sign * np.exp(value)), 6)
    -1.718282

    References
    ----------
    .. [1] P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and
       softmax functions", IMA Journal of Numerical Analysis 41(4), 2021.
    """
    if weight is not None or return_sign or _weighted.is_complex(x):
        return _weighted.logsumexp(x, axis, where, weight, keepdims, return_sign)
    if axis == -1 and where is None and not keepdims:
        y = row_logsumexp.lane(x)
        if y is not None:
            return y
    r = rows("logsumexp", x, axis, where)
    y = row_logsumexp(r.x, r.where, axis=r.axis, scale=1.0)
    return _weighted.kept_dims(r, y, x.ndim) if keepdims else y
