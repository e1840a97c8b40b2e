"""StableMax and its logarithm, and the two tools of its paper."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import kept, nonzero, safe_max, select
from anymax.primitives.row_weights import row_log_weights, row_weights
from anymax.softmaxes._rows import rows


@form(shapes="x: ... C -> ... C", papers=("2501.04697",), cost="O(n)", primitives=("row_weights",))
def stablemax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Weights that grow linearly and decay as 1 / (1 - x), normalised to sum to one.

    .. math:: p_i = \frac{s(x_i)}{\sum_j s(x_j)}, \qquad
        s(x) = \begin{cases} x + 1 & x \ge 0 \\ 1 / (1 - x) & x < 0 \end{cases}

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
        Weights in [0, 1], never 0 for a finite logit but for underflow.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    It is the softmax of :math:`\operatorname{sign}(x)\log(1+|x|)`, and not invariant to shifts, so
    no maximum may be subtracted from the logits: rows are divided by their largest weight instead,
    and no sum overflows.  The derivative is
    :math:`\mathrm{d}p = p\,(t - \langle p, t\rangle)` with
    :math:`t = \mathrm{d}x / (1 + |x|)`.  Masks, empty rows and NaN as in :func:`anymax.softmax`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.stablemax(np.asarray([1.0, 0.0, -1.0]))
    array([0.57142857, 0.28571429, 0.14285714])

    References
    ----------
    .. [1] L. Prieto, M. Barsbey, P. A. M. Mediano, T. Birdal, "Grokking at the Edge of Numerical
       Stability", ICLR 2025, arXiv:2501.04697.
    """
    r = rows("stablemax", x, axis, where)
    return r.finish(row_weights(r.x, r.where, None, axis=r.axis, kind="stable", value=()))


@form(
    shapes="x: ... C -> ... C",
    papers=("2501.04697",),
    cost="O(n)",
    primitives=("row_log_weights",),
)
def log_stablemax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Logarithm of stablemax, from the exact logarithm of its weights.

    .. math:: \log p_i = g(x_i) - \log\sum_j e^{g(x_j)}, \qquad
        g(x) = \operatorname{sign}(x)\,\log(1 + |x|)

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
    The official code takes the logarithm of the quotient, with 1e-30 added to a number of at least
    1, which changes nothing; the logarithm of a weight is exact here.  Its gradient is
    :math:`(g_i - p_i\sum_j g_j) / (1 + |x_i|)`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.log_stablemax(np.asarray([1.0, -1.0]))
    array([-0.22314355, -1.60943791])

    References
    ----------
    .. [1] L. Prieto, M. Barsbey, P. A. M. Mediano, T. Birdal, "Grokking at the Edge of Numerical
       Stability", ICLR 2025, arXiv:2501.04697.
    """
    r = rows("log_stablemax", x, axis, where)
    return r.finish(row_log_weights(r.x, r.where, None, axis=r.axis, kind="stable", value=()))


@form(shapes="grad: ..., param: ... -> ...", papers=("2501.04697",), cost="O(n)", level="module")
def orthogonalize_gradient(
    grad: Array, param: Array, /, *, rescale: bool = True, eps: float = 1e-30
) -> Array:
    r"""Part of a gradient that is orthogonal to its parameter, both taken as one long vector.

    .. math:: g_\perp = g - \frac{\langle w, g\rangle}{\langle w, w\rangle + \epsilon}\,w,
        \qquad \text{rescaled: } g_\perp\,\frac{\lVert g\rVert}{\lVert g_\perp\rVert + \epsilon}

    Parameters
    ----------
    grad : array (...)
        Gradient g of one parameter.
    param : array (...)
        The parameter w, of the shape of `grad`.
    rescale : bool
        True gives the result the norm of `grad`, as the official optimizer does; False is the
        projection of the paper.
    eps : float
        Added to both denominators.

    Returns
    -------
    array (...)
        The projected gradient.

    Raises
    ------
    TypeError
        An argument is no array.
    ValueError
        The shapes differ.

    Notes
    -----
    A parameter of zeros leaves the gradient alone.  A gradient parallel to its parameter has the
    projection 0 up to rounding, which `rescale` blows up to the norm of the gradient: use
    ``rescale=False`` where that can happen.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmaxes.orthogonalize_gradient(
    ...     np.asarray([3.0, 4.0]), np.asarray([1.0, 0.0]), rescale=False)
    array([0., 4.])

    References
    ----------
    .. [1] L. Prieto, M. Barsbey, P. A. M. Mediano, T. Birdal, "Grokking at the Edge of Numerical
       Stability", ICLR 2025, arXiv:2501.04697.
    """
    name = "orthogonalize_gradient"
    _array.required(name, grad=grad, param=param)
    xp = _array.namespace(name, grad=grad, param=param)
    if tuple(grad.shape) != tuple(param.shape):
        raise ValueError(
            f"{name}: grad has shape {_array.shape_text(grad.shape)} and param "
            f"{_array.shape_text(param.shape)}; they must match"
        )
    grad, param = _array.promote(xp, name, grad=grad, param=param)
    dtype = grad.dtype
    g, w = _array.widen(xp, grad), _array.widen(xp, param)
    share = xp.divide(xp.sum(xp.multiply(w, g)), xp.sum(xp.multiply(w, w)) + eps)
    y = xp.subtract(g, xp.multiply(share, w))
    if rescale:
        y = xp.multiply(y, xp.divide(_norm(xp, g), _norm(xp, y) + eps))
    return _array.cast(xp, y, dtype)


def _norm(xp, x: Array) -> Array:
    """Euclidean norm of all cells, with the gradient 0 at 0."""
    s = xp.sum(x * x)
    return select(xp, s != 0, xp.sqrt(nonzero(xp, s)))


@form(shapes="logits: ... C ->", papers=("2501.04697",), cost="O(n)", level="module")
def softmax_collapse_rate(
    logits: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Share of rows in which softmax has collapsed: rounding has swallowed all but one class.

    .. math:: \frac{1}{N}\,\#\Bigl\{n : \operatorname{fl}\Bigl(\sum_j e^{x_{nj} - \max_k x_{nk}}
        \Bigr) = 1\Bigr\}

    Parameters
    ----------
    logits : array (..., C)
        Logits; their dtype is the precision in question.
    axis : int, tuple of ints or None
        Axes of the classes.
    where : boolean array, broadcastable to `logits`
        True where a logit takes part.

    Returns
    -------
    array ()
        A number in [0, 1], without a gradient; 0 if there is no row.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    In a collapsed row the gradient of the cross entropy of the largest class is exactly 0.  That
    happens when all gaps exceed about 16.6 in float32, 36.7 in float64, 7.6 in float16 and 5.5 in
    bfloat16.  Half types are exponentiated and summed in float32, and both are rounded.  Empty rows
    are left out.  A row with a single class always counts.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([[0.0, 20.0], [0.0, 10.0]], np.float32)
    >>> float(am.softmaxes.softmax_collapse_rate(x))
    0.5

    References
    ----------
    .. [1] L. Prieto, M. Barsbey, P. A. M. Mediano, T. Birdal, "Grokking at the Edge of Numerical
       Stability", ICLR 2025, arXiv:2501.04697.
    """
    r = rows("softmax_collapse_rate", logits, axis, where)
    xp, x = r.xp, _array.stop_gradient(r.x)
    keep = kept(xp, x, r.where)
    m = safe_max(xp, x, keep, r.axis)
    e = xp.exp(_array.widen(xp, select(xp, keep, x) - m))
    e = _array.widen(xp, _array.cast(xp, e, x.dtype))
    total = xp.sum(select(xp, keep, e), axis=r.axis)
    one = _array.cast(xp, total, x.dtype) == 1.0
    some = xp.any(keep, axis=r.axis)
    dtype = _array.accumulator(xp, x)
    hits = xp.sum(xp.astype(one & some, dtype))
    return _array.cast(xp, hits / nonzero(xp, xp.sum(xp.astype(some, dtype))), x.dtype)
