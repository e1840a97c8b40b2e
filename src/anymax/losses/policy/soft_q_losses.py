"""Losses of soft Q-learning and of soft actor-critic on finitely many actions."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._elements import elements
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses._targets import check_labels
from anymax.losses.policy.soft_q import prepared, value_of
from anymax.primitives._masked import kept, select
from anymax.primitives._selection import one_hot
from anymax.primitives.row_softmax import row_log_softmax
from anymax.softmaxes._operands import operands


@form(
    shapes="reward: ..., next_q: ... A, done: ... -> ...", papers=("1702.08165",), cost="O(n)",
    primitives=("row_logsumexp",),
)  # fmt: skip
def soft_bellman_target(
    reward: Array,
    next_q: Array,
    done: Array,
    /,
    *,
    gamma: float | Array = 0.99,
    axis: int = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
    log_prior: Array | None = None,
) -> Array:
    r"""Reward now, and the discounted soft value of the state that follows.

    .. math:: y = r + \gamma\,(1 - d)\,\tau \log\sum_a \pi_0(a)\, e^{q'_a / \tau}

    Parameters
    ----------
    reward : array (...)
        Rewards r.
    next_q : array (..., A)
        Values q' of the actions in the next state, of a target network.
    done : boolean array (...), or an array of 0 and 1
        d: True where the episode ended, so that no state follows.
    gamma : float or array ()
        :math:`\gamma`, the discount.
    axis : int
        Axis of the actions in `next_q`.
    where : boolean array, broadcastable to `next_q`
        True where an action is allowed.
    temperature : float or array, broadcastable to `next_q`, of size 1 along `axis`
        :math:`\tau > 0`.
    log_prior : array, broadcastable to `next_q`
        As :func:`anymax.soft_value`.

    Returns
    -------
    array (...)
        Targets.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.soft_value`, or shapes that don't fit.

    Notes
    -----
    Where the episode ended `next_q` may hold anything.  :func:`anymax.soft_q_loss` takes the target
    as a constant.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> reward, done = np.asarray([1.0, 1.0]), np.asarray([False, True])
    >>> am.soft_bellman_target(reward, np.zeros((2, 1)) + 2.0, done, gamma=0.5)
    array([2., 1.])

    References
    ----------
    .. [1] T. Haarnoja et al., "Reinforcement learning with deep energy-based policies", 2017,
       equation 5. arXiv:1702.08165.
    """
    name = "soft_bellman_target"
    _array.required(name, reward=reward, next_q=next_q, done=done)
    _array.namespace(name, reward=reward, next_q=next_q, done=done, where=where)
    if not hasattr(axis, "__index__"):
        raise TypeError(f"{name}: axis is {axis!r}; an int fits")
    extra = {"gamma": gamma, "temperature": temperature, "log_prior": log_prior}
    ops = operands(name, reward=reward, next_q=next_q, **extra)
    xp, (r, q, gamma, temperature, log_prior) = ops.xp, ops.arrays
    (place,) = _array.axes(name, axis, q.ndim)
    batch = tuple(n for a, n in enumerate(q.shape) if a != place)
    going = _going_on(xp, done, r.dtype)
    for other, x in (("reward", r), ("done", going)):
        _array.check_broadcast(name, other, x, batch, "the states of next_q")
    going = xp.broadcast_to(going, batch)
    q = select(xp, xp.expand_dims(going != 0, axis=place), q)
    row, _ = prepared(name, q, place, where, temperature, log_prior)
    value = select(xp, going != 0, value_of(row, temperature))
    return ops.finish(r + gamma * going * value)


def _going_on(xp: Any, done: Array, dtype: Any) -> Array:
    """1 - done, in floating point."""
    return 1.0 - _array.cast(xp, done, dtype)


@form(shapes="q: ..., target: ... -> ", papers=("1702.08165",), cost="O(n)")
def soft_q_loss(
    q: Array,
    target: Array,
    /,
    *,
    action: Array | None = None,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Half the squared distance of the values of the actions taken from their targets.

    .. math:: \ell = \tfrac12\,(q_a - y)^2

    Parameters
    ----------
    q : array (...) or (..., A)
        Values of the actions taken; of all A actions, with `action`.
    target : array (...)
        y, as :func:`anymax.soft_bellman_target` gives it; a constant.
    action : integer array (...), optional
        The action taken in each state; -1 drops a state.
    where : boolean array, broadcastable to (...)
        True where a state takes part.
    weight : array, broadcastable to (...)
        Weights of the states; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        How the losses of the states become the result.

    Returns
    -------
    array () or (...)
        A scalar, or the losses of the states with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        Shapes that don't fit, or an action outside [0, A) (on arrays whose values are at hand).

    Notes
    -----
    The gradient is that of q alone: targets are constants, whatever they are computed from.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> q, target = np.asarray([[1.0, 5.0], [2.0, 0.0]]), np.asarray([3.0, 2.0])
    >>> am.soft_q_loss(q, target, action=np.asarray([1, 0]), reduction="none")
    array([2., 0.])

    References
    ----------
    .. [1] T. Haarnoja et al., "Reinforcement learning with deep energy-based policies", 2017,
       equation 10. arXiv:1702.08165.
    """
    name = "soft_q_loss"
    _array.required(name, q=q, target=target)
    xp = _array.namespace(name, q=q, target=target, action=action, where=where)
    if action is not None:
        q, where = _taken(xp, name, q, action, where)
    case = elements(
        name, q=q, target=_array.stop_gradient(target), where=where, weight=weight,
        reduction=reduction,
    )  # fmt: skip
    q, target = case.arrays
    gap = q - target
    return case.finish(0.5 * gap * gap, reduction)


def _taken(
    xp: Any, function: str, q: Array, action: Array, where: Array | None
) -> tuple[Array, Array]:
    """The values of the actions taken, and where there are any."""
    if _array.is_scalar(action) or not _array.is_integer(action):
        raise TypeError(f"{function}: action holds no integers; the index of an action fits")
    if not q.ndim or tuple(action.shape) != tuple(q.shape[:-1]):
        raise ValueError(
            f"{function}: action has shape {_array.shape_text(action.shape)} beside q "
            f"{_array.shape_text(q.shape)}; one action a state, {_array.shape_text(q.shape[:-1])}"
        )
    action = _array.as_index(xp, action)
    _array.check_mask(function, "where", where, action.shape, "the states")
    live = action != -1 if where is None else (action != -1) & where
    check_labels(xp, function, action, live, q.shape[-1], "-1")
    hot = one_hot(xp, action, q.shape[-1], -1, xp.bool) & live[..., None]
    wide = _array.widen(xp, q)
    return _array.cast(xp, xp.sum(select(xp, hot, wide), axis=-1), q.dtype), live


@form(
    shapes="logits: ... A, q: ... A -> ", papers=("1801.01290", "1910.07207"), cost="O(n)",
    primitives=("row_log_softmax",),
)  # fmt: skip
def sac_policy_loss(
    logits: Array,
    q: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    temperature: float | Array = 1.0,
    reduction: str = "mean",
) -> Array:
    r"""Expected entropy penalty less the value of a policy over finitely many actions.

    .. math:: \ell = \sum_a \pi_a\,(\tau \log\pi_a - q_a),\qquad
        \pi = \mathrm{softmax}(\text{logits})

    Parameters
    ----------
    logits : array (..., A)
        Logits of the policy over A actions.
    q : array (..., A)
        Values of the actions; a constant.
    axis : int
        Axis of the actions.
    where : boolean array, broadcastable to `logits`
        True where an action is allowed.  Shape (..., 1) keeps or drops whole states.
    weight : array, broadcastable to (...)
        Weights of the states; the mean divides by their sum.
    temperature : float or array (), or broadcastable to (...)
        :math:`\tau`, the weight of the entropy; differentiated if an array.
    reduction : {"mean", "sum", "none"}
        A state without an allowed action costs 0 and is left out of the mean.

    Returns
    -------
    array () or (...)
        A scalar, or the losses of the states with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        An array has no real dtype, or shapes or options don't fit.

    Notes
    -----
    :math:`\tau\,\mathrm{KL}(\pi\,\Vert\,\mathrm{softmax}(q/\tau))` less
    :func:`anymax.soft_value`: smallest, and without gradient, at :func:`anymax.boltzmann_policy`.
    An action of probability 0 adds 0.  With continuous actions the loss is the mean of
    :math:`\tau \log\pi - q` over samples, where q is no constant: plain arithmetic does.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> q = np.log(np.asarray([[1.0, 3.0]]))
    >>> round(float(np.exp(-am.sac_policy_loss(q, q))), 12)
    4.0

    References
    ----------
    .. [1] T. Haarnoja et al., "Soft actor-critic", 2018, equation 10. arXiv:1801.01290.
    .. [2] P. Christodoulou, "Soft actor-critic for discrete action settings", 2019, equation 11.
       arXiv:1910.07207.
    """
    name = "sac_policy_loss"
    check_reduction(name, reduction)
    _array.required(name, logits=logits, q=q)
    _array.namespace(name, logits=logits, q=q, where=where)
    q = _array.stop_gradient(q)
    ops = operands(name, logits=logits, q=q, weight=weight, temperature=temperature)
    xp, (x, q, weight, temperature) = ops.xp, ops.arrays
    if not hasattr(axis, "__index__"):
        raise TypeError(f"{name}: axis is {axis!r}; an int fits")
    if not x.ndim:
        raise ValueError(f"{name}: logits have 0 axes; at least 1 is needed, the actions")
    place = _array.axes(name, axis, x.ndim)
    _array.check_broadcast(name, "q", q, x.shape, "logits")
    _array.check_mask(name, "where", where, x.shape, "logits")
    rest = tuple(n for a, n in enumerate(x.shape) if a not in place)
    for other, y in (("weight", weight), ("temperature", temperature)):
        if y is not None and not _array.is_scalar(y):
            _array.check_broadcast(name, other, y, rest, "the unreduced loss")
    keep = kept(xp, x, where)
    logp = select(xp, keep, row_log_softmax(select(xp, keep, x), keep, axis=place, scale=1.0))
    p = select(xp, keep, xp.exp(logp))
    entropy = xp.sum(p * logp, axis=place)
    value = xp.sum(p * select(xp, keep, xp.broadcast_to(q, tuple(x.shape))), axis=place)
    live = xp.any(keep, axis=place)
    return ops.finish(
        reduced(xp, temperature * entropy - value, reduction, live=live, weight=weight)
    )
