"""Choice between utilities: Luce's rule, the least Bayes risk, one step of learning."""

from __future__ import annotations

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import kept, select
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._rows import positive, rows
from anymax.softmaxes.exponential.power import power

_RISK = "probs: ... N, utility: ... N M -> ..., ... M"


@form(
    shapes="utility: ... C -> ... C", papers=("2305.14859",), cost="O(n)",
    primitives=("row_weights",),
)  # fmt: skip
def luce_choice(
    utility: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Probabilities of choice in proportion to utilities, as Luce's axiom has it.

    .. math:: p_i = \frac{v_i^{1/T}}{\sum_j v_j^{1/T}}

    Parameters
    ----------
    utility : array (..., C)
        Utilities v of at least 0, of any real dtype.
    axis : int, tuple of ints or None
        Axes of the alternatives; None means all of them.
    where : boolean array, broadcastable to `utility`
        True where an alternative is on offer.
    temperature : float or array
        T, positive; an array has size 1 along `axis` and is differentiated too.  Below 1 it
        sharpens, as :math:`p^\beta / \sum p^\beta` does.

    Returns
    -------
    array (..., C)
        Probabilities.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    :func:`anymax.power_softmax` by another name, and ``softmax(log(v) / T)``; the softmax is the
    choice between utilities ``exp(u)``.  A utility of 0 is never chosen, a row of zeros gives
    zeros, a negative utility NaN.  The paper below reads softmax and maximum likelihood as learning
    of utilities; this map is the classic one, not an equation of that paper.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.luce_choice(np.asarray([1.0, 3.0, 0.0]))
    array([0.25, 0.75, 0.  ])

    References
    ----------
    .. [1] R. D. Luce, "Individual Choice Behavior: A Theoretical Analysis", Wiley, 1959.
    .. [2] B. Huang, F. Yuan, "Utility-Probability Duality of Neural Networks", arXiv:2305.14859.
    """
    return power("luce_choice", utility, axis, where, temperature)


@form(shapes=_RISK, papers=("2305.14859",), cost="O(n m)", level="module")
def minimum_bayes_risk(
    probs: Array, utility: Array, /, *, where: Array | None = None
) -> tuple[Array, Array]:
    r"""Action of the largest expected utility under the probabilities of N states.

    .. math:: \bar u_m = \sum_n p_n\,U_{nm}, \qquad m^* = \arg\max_m \bar u_m

    Parameters
    ----------
    probs : array (..., N)
        Probabilities of the states, or of the sampled hypotheses.
    utility : array (..., N, M)
        Utility U of each of M actions in each state.
    where : boolean array, broadcastable to `probs`
        True where a state takes part.

    Returns
    -------
    index : integer array (...)
        The action; the first of those that tie.
    expected : array (..., M)
        Expected utilities, differentiable.

    Raises
    ------
    TypeError, ValueError
        An argument is no array, or the shapes do not fit.

    Notes
    -----
    Probabilities are used as they are, without a normalisation that would not change the action.
    States that `where` leaves out add nothing, whatever their utilities hold; with no state left,
    all expectations are 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> index, expected = am.softmaxes.minimum_bayes_risk(
    ...     np.asarray([0.25, 0.75]), np.asarray([[8.0, 0.0], [0.0, 4.0]]))
    >>> int(index), expected
    (1, array([2., 3.]))

    References
    ----------
    .. [1] B. Huang, F. Yuan, "Utility-Probability Duality of Neural Networks", arXiv:2305.14859.
    """
    name = "minimum_bayes_risk"
    _array.required(name, probs=probs, utility=utility)
    xp = _array.namespace(name, probs=probs, utility=utility, where=where)
    _shapes.check(name, _RISK, {"probs": probs, "utility": utility})
    probs, utility = _array.promote(xp, name, probs=probs, utility=utility)
    _array.check_mask(name, "where", where, probs.shape, "probs")
    dtype = probs.dtype
    p, u = _array.widen(xp, probs), _array.widen(xp, utility)
    if where is not None:
        p = select(xp, where, p)
        where = where[..., None] if where.ndim else where
        u = xp.where(where, u, xp.zeros_like(u))
    expected = _array.cast(xp, xp.matmul(p[..., None, :], u)[..., 0, :], dtype)
    return xp.argmax(expected, axis=-1), expected


@form(
    shapes="utility: ... C, target: ... -> ... C", papers=("2305.14859",), cost="O(n)",
    level="module", primitives=("row_softmax",),
)  # fmt: skip
def utility_update(
    utility: Array,
    target: Array,
    /,
    *,
    lr: float,
    axis: int = -1,
    where: Array | None = None,
    temperature: float = 1.0,
) -> Array:
    r"""Utilities after one step of maximum likelihood: the observed choice gains, the others lose.

    .. math:: u' = u + \frac{\eta}{T}\,\bigl(t - \operatorname{softmax}(u / T)\bigr)

    Parameters
    ----------
    utility : array (..., C)
        Utilities u, the logits of a choice.
    target : integer array (...) or array (..., C)
        The observed choices, or their probabilities t.
    lr : float
        Step size.
    axis : int
        Axis of the alternatives.
    where : boolean array, broadcastable to `utility`
        True where an alternative is on offer; the others stay as they are.
    temperature : float
        T of the softmax, positive.

    Returns
    -------
    array (..., C)
        The new utilities.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a `target` that does not fit is a ValueError.

    Notes
    -----
    The step is minus `lr` times the gradient of the cross entropy, and sums to zero over the
    alternatives.  A label outside the classes marks none of them.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmaxes.utility_update(np.zeros(2), np.asarray(1), lr=1.0)
    array([-0.5,  0.5])

    References
    ----------
    .. [1] B. Huang, F. Yuan, "Utility-Probability Duality of Neural Networks", arXiv:2305.14859.
    """
    name = "utility_update"
    scale = float(lr) / positive(name, "temperature", temperature)
    _array.required(name, utility=utility, target=target)
    xp = _array.namespace(name, utility=utility, target=target, where=where)
    r = rows(name, utility, axis, where, temperature)
    u = _array.widen(xp, r.x)
    p = row_softmax(u, r.where, axis=r.axis, scale=r.scale)
    t = _probabilities(xp, name, target, r, utility.ndim)
    step = select(xp, kept(xp, u, r.where), xp.subtract(t, p))
    return r.finish(_array.cast(xp, u + step * scale, r.x.dtype))


def _probabilities(xp, name: str, target: Array, r, ndim: int) -> Array:
    """Targets as probabilities, of the shape of the utilities."""
    (a,) = r.axis if len(r.axis) == 1 else (None,)
    if a is None:
        raise TypeError(f"{name}: axis must be one int")
    full = tuple(r.x.shape)
    wanted = full[:a] + full[a + 1 :] if _array.is_integer(target) else full[: ndim or None]
    wanted = () if not ndim else wanted
    if tuple(target.shape) != wanted or not (
        _array.is_integer(target) or _array.is_floating(target)
    ):
        raise ValueError(
            f"{name}: target has shape {_array.shape_text(target.shape)} and dtype "
            f"{_array.dtype_name(target)}; integers of the shape of the utilities without their "
            f"class axis, or floating probabilities of their shape {_array.shape_text(full)} fit"
        )
    dtype = _array.accumulator(xp, r.x)
    if _array.is_floating(target):
        return _array.cast(xp, target[..., None] if r.scalar else target, dtype)
    target = _array.as_index(xp, target)
    classes = _array.arange(xp, full[a], target, dtype=target.dtype)
    classes = xp.reshape(classes, (full[a],) + (1,) * (len(full) - a - 1))
    return xp.astype(xp.expand_dims(target, axis=a) == classes, dtype)
