"""Values and policies of soft Q-learning: a softmax in the place of the best action."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_logsumexp, row_softmax
from anymax.softmaxes._operands import beside_tape, spread, summed
from anymax.softmaxes._rows import Rows, rows


def prepared(
    function: str,
    q: Array,
    axis: int | tuple[int, ...] | None,
    where: Array | None,
    temperature: float | Array,
    log_prior: Array | None,
) -> tuple[Rows, Any]:
    """Logits ``q / temperature + log_prior`` of the actions, and the dtype of the result."""
    _array.required(function, q=q)
    xp = _array.namespace(function, q=q, where=where, temperature=temperature, log_prior=log_prior)
    given = {"q": q, "temperature": temperature, "log_prior": log_prior}
    q, temperature, log_prior = _array.promote(xp, function, **given)
    dtype = q.dtype
    if log_prior is None:
        return rows(function, q, axis, where, temperature), dtype
    _array.check_broadcast(function, "log_prior", log_prior, q.shape, "q")
    _array.check_mask(function, "where", where, q.shape, "q")
    q, log_prior = (beside_tape(xp, _array.widen(xp, x)) for x in (q, log_prior))
    if not _array.is_scalar(temperature):
        temperature = _array.widen(xp, temperature)
    prior = spread(xp, log_prior, tuple(q.shape))
    taking = prior != -xp.inf if where is None else (prior != -xp.inf) & where
    row = rows(function, q, axis, taking, temperature)
    if row.scale != 1.0:
        row = row._replace(x=_scaled(xp, row.x, row.scale), scale=1.0)
    if row.scalar:
        prior = prior[..., None]
    x, keep = summed(xp, row.where, row.x, prior)
    return row._replace(x=x, where=keep), dtype


def _scaled(xp: Any, x: Array, scale: float) -> Array:
    keep = x != -xp.inf
    return select(xp, keep, select(xp, keep, x) * scale, -xp.inf)


def value_of(row: Rows, temperature: float | Array) -> Array:
    """temperature * logsumexp of the logits, -inf where no action takes part."""
    xp = row.xp
    lse = row_logsumexp(row.x, row.where, axis=row.axis, scale=row.scale)
    if _array.is_scalar(temperature):
        return lse * float(temperature)
    t = _array.widen(xp, temperature)
    if t.ndim:
        t = xp.broadcast_to(t, tuple(1 if a in row.axis else n for a, n in enumerate(row.x.shape)))
        t = xp.squeeze(t, axis=row.axis)
    some = lse != -xp.inf
    return select(xp, some, _array.cast(xp, t, lse.dtype) * select(xp, some, lse), -xp.inf)


_PAPERS = ("1702.08165", "1702.08892")


@form(
    shapes="q: ... A -> ...", papers=(*_PAPERS, "1612.05628"), cost="O(n)",
    primitives=("row_logsumexp",),
)  # fmt: skip
def soft_value(
    q: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
    log_prior: Array | None = None,
) -> Array:
    r"""Value of a state whose actions are drawn by a softmax of their values.

    .. math:: V = \tau \log\sum_a \pi_0(a)\, e^{q_a / \tau}

    Parameters
    ----------
    q : array (..., A)
        Values of A actions.
    axis : int, tuple of ints or None
        Axes of the actions; None means all of them.
    where : boolean array, broadcastable to `q`
        True where an action is allowed.
    temperature : float or array, broadcastable to `q`, of size 1 along `axis`
        :math:`\tau > 0`; differentiated if an array.
    log_prior : array, broadcastable to `q`
        :math:`\log\pi_0`; -inf forbids an action.  0 by default, which is no distribution.

    Returns
    -------
    array (...)
        Values, without `axis`; -inf where no action is allowed.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.logsumexp`.

    Notes
    -----
    Without a prior between the largest q and :math:`\tau \log A` above it; with the uniform prior
    :math:`-\log A` it is mellowmax, at most the largest q.  Its gradient is
    :func:`anymax.boltzmann_policy`, and :math:`q = V + \tau \log(\pi/\pi_0)`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> q = np.log(np.asarray([1.0, 3.0]))
    >>> round(float(np.exp(am.soft_value(q))), 12)
    4.0
    >>> round(float(np.exp(am.soft_value(q, log_prior=np.log(np.asarray([0.5, 0.5]))))), 12)
    2.0

    References
    ----------
    .. [1] T. Haarnoja et al., "Reinforcement learning with deep energy-based policies", 2017,
       equation 4. arXiv:1702.08165.
    .. [2] O. Nachum et al., "Bridging the gap between value and policy based reinforcement
       learning", 2017. arXiv:1702.08892.
    .. [3] K. Asadi, M. L. Littman, "An alternative softmax operator for reinforcement learning",
       2017 (mellowmax). arXiv:1612.05628.
    """
    row, dtype = prepared("soft_value", q, axis, where, temperature, log_prior)
    return _array.cast(row.xp, value_of(row, temperature), dtype)


@form(shapes="q: ... A -> ... A", papers=_PAPERS, cost="O(n)", primitives=("row_softmax",))
def boltzmann_policy(
    q: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
    log_prior: Array | None = None,
) -> Array:
    r"""Softmax of the values of actions, around a prior.

    .. math:: \pi(a) = \frac{\pi_0(a)\, e^{q_a / \tau}}{\sum_b \pi_0(b)\, e^{q_b / \tau}}

    Parameters
    ----------
    q : array (..., A)
        Values of A actions.
    axis : int, tuple of ints or None
        Axes of the actions; None means all of them.
    where : boolean array, broadcastable to `q`
        True where an action is allowed.
    temperature : float or array, broadcastable to `q`, of size 1 along `axis`
        :math:`\tau > 0`; differentiated if an array.
    log_prior : array, broadcastable to `q`
        :math:`\log\pi_0`, up to a constant; -inf forbids an action.

    Returns
    -------
    array (..., A)
        Probabilities; 0 where no action is allowed.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    The policy that maximises the expected q less :math:`\tau` times the divergence from the prior;
    the maximum is :func:`anymax.soft_value`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.boltzmann_policy(np.log(np.asarray([1.0, 3.0])), temperature=0.5)
    array([0.1, 0.9])

    References
    ----------
    .. [1] T. Haarnoja et al., "Reinforcement learning with deep energy-based policies", 2017,
       equation 6. arXiv:1702.08165.
    .. [2] O. Nachum et al., "Bridging the gap between value and policy based reinforcement
       learning", 2017. arXiv:1702.08892.
    """
    row, dtype = prepared("boltzmann_policy", q, axis, where, temperature, log_prior)
    p = row_softmax(row.x, row.where, axis=row.axis, scale=row.scale)
    return _array.cast(row.xp, row.finish(p), dtype)
