"""Softmax with a sink: one or more logits that take weight and give none."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_softmax import row_logsumexp
from anymax.primitives.row_weights import row_log_weights, row_weights
from anymax.softmaxes._rows import Rows, rows

_PAPERS = ("2309.17453",)


@form(shapes="x: ... C -> ... C", papers=_PAPERS, cost="O(n)", primitives=("row_weights",))
def sink_softmax(
    x: Array,
    /,
    *,
    sink: float | Array = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Softmax with extra logits in the denominator, so that weights may sum to less than one.

    .. math:: p_i = \frac{e^{x_i}}{\sum_k e^{\text{sink}_k} + \sum_j e^{x_j}}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    sink : float or array
        Logit of the sink.  An array broadcasts against `x`, but for `axis`, along which it may have
        any size: as many sinks in every row.  It is differentiated too.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part; sinks always do.

    Returns
    -------
    array (..., C)
        Weights in [0, 1] that sum to :math:`\sigma(\mathrm{lse}(x) - \mathrm{lse}(\text{sink}))`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a `sink` that does not fit `x` is a ValueError.

    Notes
    -----
    It is the softmax of logits and sinks together, without the sinks' weights.  A sink of 0 is
    :func:`anymax.softmax1`, of -inf the softmax, of :math:`\log n` the softmax with n more logits
    of 0; a sink of +inf leaves nothing.  An empty row gives zeros.  The gradient of the sink is
    :math:`-p_\text{sink}\,\langle p, g\rangle`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.sink_softmax(np.log(np.asarray([1.0, 2.0])), sink=np.log(2.0))
    array([0.2, 0.4])

    References
    ----------
    .. [1] G. Xiao, Y. Tian, B. Chen, S. Han, M. Lewis, "Efficient Streaming Language Models with
       Attention Sinks", ICLR 2024, arXiv:2309.17453.
    .. [2] E. Miller, "Attention Is Off By One", 2023.
    """
    r, t = _prepared("sink_softmax", x, sink, axis, where)
    return r.finish(row_weights(r.x, r.where, t, axis=r.axis, kind="exp", value=()))


@form(shapes="x: ... C -> ... C", papers=_PAPERS, cost="O(n)", primitives=("row_log_weights",))
def log_sink_softmax(
    x: Array,
    /,
    *,
    sink: float | Array = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Logarithm of the softmax with a sink.

    .. math:: \log p_i = x_i - \log\Bigl(\sum_k e^{\text{sink}_k} + \sum_j e^{x_j}\Bigr)

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    sink : float or array
        Logit of the sink, or several along `axis`, as in :func:`anymax.sink_softmax`.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part; others get -inf.

    Returns
    -------
    array (..., C)
        Logarithms of the weights; -inf where masked, and all over an empty row.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.sink_softmax`.

    Notes
    -----
    Finite for finite logits of any size.  The gradient is :math:`g_i - p_i \sum_j g_j`, and
    :math:`-p_\text{sink} \sum_j g_j` for the sink.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.log_sink_softmax(np.asarray([0.0, 0.0]))
    array([-1.09861229, -1.09861229])

    References
    ----------
    .. [1] G. Xiao, Y. Tian, B. Chen, S. Han, M. Lewis, "Efficient Streaming Language Models with
       Attention Sinks", ICLR 2024, arXiv:2309.17453.
    """
    r, t = _prepared("log_sink_softmax", x, sink, axis, where)
    return r.finish(row_log_weights(r.x, r.where, t, axis=r.axis, kind="exp", value=()))


@form(shapes="x: ... C -> ... C", cost="O(n)", primitives=("row_weights",))
def softmax1(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Softmax with one more logit of 0 in the denominator: a row may attend to nothing.

    .. math:: p_i = \frac{e^{x_i}}{1 + \sum_j e^{x_j}}

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
        Weights in [0, 1) that sum to :math:`\sigma(\mathrm{lse}(x))`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    ``sink_softmax(x, sink=0.0)``.  The logit 0 is shifted with the others: leaving the 1 alone when
    the maximum is subtracted, a mistake seen in the wild, gives another function.  Not invariant to
    shifts.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmax1(np.log(np.asarray([1.0, 2.0])))
    array([0.25, 0.5 ])

    References
    ----------
    .. [1] E. Miller, "Attention Is Off By One", 2023,
       https://www.evanmiller.org/attention-is-off-by-one.html.
    """
    r, t = _prepared("softmax1", x, 0.0, axis, where)
    return r.finish(row_weights(r.x, r.where, t, axis=r.axis, kind="exp", value=()))


def _prepared(function: str, x: Array, sink, axis, where) -> tuple[Rows, Array]:
    """The rows, and one sink for each of them: several are added up first."""
    _array.required(function, x=x)
    if _array.is_scalar(sink):
        r = rows(function, x, axis, where)
        xp, dtype = r.xp, _array.accumulator(r.xp, r.x)
        shape = (1,) * r.x.ndim
        return r, xp.full(shape, float(sink), dtype=dtype, device=_array.device(r.x))
    _array.required(function, sink=sink)
    xp = _array.namespace(function, x=x, where=where, sink=sink)
    x, sink = _array.promote(xp, function, x=x, sink=sink)
    r = rows(function, x, axis, where)
    t = _array.widen(xp, sink[..., None] if r.scalar else sink)
    if t.ndim > r.x.ndim:
        _array.check_broadcast(function, "sink", sink, x.shape, "x")
    t = xp.reshape(t, (1,) * (r.x.ndim - t.ndim) + tuple(t.shape))
    beside = tuple(1 if a in r.axis else n for a, n in enumerate(t.shape))
    if any(n not in (1, m) for n, m in zip(beside, r.x.shape)):
        raise ValueError(
            f"{function}: sink has shape {_array.shape_text(sink.shape)}, which does not broadcast "
            f"to the shape {_array.shape_text(x.shape)} of x beside the softmax axis"
        )
    if any(t.shape[a] != 1 for a in r.axis):
        t = row_logsumexp(t, None, axis=r.axis, scale=1.0)
        for a in r.axis:
            t = xp.expand_dims(t, axis=a)
    return r, t
