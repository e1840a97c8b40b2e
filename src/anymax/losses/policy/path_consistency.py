"""Path consistency: values and policies that obey the soft Bellman equation along a sequence."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, mean_over, reduced
from anymax.losses.policy._scan import backward_scan, earlier, suffix_sum, upcoming
from anymax.losses.policy._tokens import check_bound, clipped
from anymax.primitives._masked import select
from anymax.softmaxes._operands import Operands, operands

_PAPER = ("2412.16145",)
_PATH = "logp: ... T, ref_logp: ... T, value: ... T, reward: ..."


class _Path(NamedTuple):
    """Log-ratios d (..., T) of actions, values V (..., T), rewards R (...), 0 where masked.

    `states` (..., T) are the places at which the equation is asked for; `live` (...) are the
    sequences that have one.
    """

    ops: Operands
    d: Array
    value: Array
    reward: Array
    actions: Array
    states: Array
    live: Array
    weight: Array | None

    def mean(self, x: Array) -> Array:
        """Mean (...) of each sequence's states, 0 where there are none."""
        xp = self.ops.xp
        count = xp.sum(xp.astype(self.states, x.dtype), axis=-1)
        return mean_over(xp, xp.sum(select(xp, self.states, x), axis=-1), count)

    def reduced(self, loss: Array, reduction: str) -> Array:
        return reduced(self.ops.xp, loss, reduction, live=self.live, weight=self.weight)


def _path(
    function: str,
    logp: Array,
    ref_logp: Array,
    value: Array,
    reward: Array,
    states: Array | None,
    where: Array | None,
    weight: Array | None = None,
) -> _Path:
    given = {"logp": logp, "ref_logp": ref_logp, "value": value, "reward": reward}
    _array.required(function, **given)
    _array.namespace(function, **given, states=states, where=where)
    ops = operands(function, **given, weight=weight)
    xp, (logp, ref, value, reward, weight) = ops.xp, ops.arrays
    if not logp.ndim:
        raise ValueError(f"{function}: logp has 0 axes; at least 1 is needed, the tokens")
    shape = tuple(logp.shape)
    for name, x in (("ref_logp", ref), ("value", value)):
        _array.check_broadcast(function, name, x, shape, "logp")
    for name, y in (("reward", reward), ("weight", weight)):
        if y is not None:
            _array.check_broadcast(function, name, y, shape[:-1], "the sequences")
    for name, mask in (("where", where), ("states", states)):
        _array.check_mask(function, name, mask, shape, "logp")
    everything = xp.ones_like(logp) == 1
    actions = everything if where is None else everything & where
    states = actions if states is None else everything & states
    live = xp.any(states, axis=-1)
    d = select(xp, actions, logp - ref)
    value = select(xp, states, xp.broadcast_to(value, shape))
    reward = select(xp, live, xp.broadcast_to(reward, shape[:-1]))
    return _Path(ops, d, value, reward, actions, states, live, weight)


def _bounded(function: str, xp: Any, x: Array, clip: float | None) -> Array:
    if clip is None:
        return x
    bound = check_bound(function, "clip", clip)
    return clipped(xp, x, -bound, bound)


@form(shapes=f"{_PATH} -> ", papers=_PAPER, cost="O(n)")
def path_consistency_value_loss(
    logp: Array,
    ref_logp: Array,
    value: Array,
    reward: Array,
    /,
    *,
    beta: float = 0.03,
    states: Array | None = None,
    clip: float | None = None,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Squared error of values in the soft Bellman equation, summed up to the end of the sequence.

    .. math:: \ell = \frac{\sum_t s_t\,(\beta D_t + V_t - R)^2}{\sum_t s_t},\qquad
        D_t = \sum_{i \ge t} (\log\pi_i - \log\pi^{\text{ref}}_i)

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the tokens under the policy; a constant here.
    ref_logp : array (..., T)
        Those under the reference policy; a constant.
    value : array (..., T)
        V, the value of the state in which each token is chosen.
    reward : array (...)
        R, the reward at the end.
    beta : float
        :math:`\beta`: 0.03 in all published scripts, 0.01 in the code's constructor.
    states : boolean array, broadcastable to (..., T)
        s, where a value is trained: all actions by default; the first token of each step for the
        level of steps.
    clip : float, optional
        Bound on the magnitude of D.
    where : boolean array, broadcastable to (..., T)
        True where a token is an action; others add nothing to D.
    weight : array, broadcastable to (...)
        Weights of the sequences; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        A sequence without a state costs 0 and is left out of the mean (the code: NaN).

    Returns
    -------
    array () or (...)
        A scalar, or the losses of the sequences with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, a mask isn't boolean, or shapes or options don't fit.

    Notes
    -----
    The gradient is V's alone.  With the policy at the reference it is the mean squared error of V
    against R.  The official code's masks have T + 1 places: its ``action_mask[:, 1:]`` is `where`,
    its ``state_mask[:, :-1]`` is `states`.  It multiplies by weights and divides by the batch:
    multiply our weighted mean by the mean weight.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp, value = np.asarray([[-1.0, -2.0]]), np.asarray([[0.5, 0.0]])
    >>> float(am.path_consistency_value_loss(logp, logp, value, np.asarray([1.0])))
    0.625

    References
    ----------
    .. [1] H. Wang et al., "Offline reinforcement learning for LLM multi-step reasoning", 2024,
       section 3. arXiv:2412.16145.
    """
    name = "path_consistency_value_loss"
    check_reduction(name, reduction)
    logp, ref_logp = _array.stop_gradient(logp), _array.stop_gradient(ref_logp)
    case = _path(name, logp, ref_logp, value, reward, states, where, weight)
    total = _bounded(name, case.ops.xp, suffix_sum(case.ops.xp, case.d), clip)
    gap = beta * total + case.value - case.reward[..., None]
    gap = select(case.ops.xp, case.states, gap)
    return case.ops.finish(case.reduced(case.mean(gap * gap), reduction))


@form(shapes=f"{_PATH} -> ", papers=_PAPER, cost="O(n log T)")
def path_consistency_policy_loss(
    logp: Array,
    ref_logp: Array,
    value: Array,
    reward: Array,
    /,
    *,
    level: str = "token",
    beta: float = 0.03,
    states: Array | None = None,
    clip: float | None = None,
    hinge_coeff: float = 0.0,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Squared error of the policy in the soft Bellman equation, with the values held.

    .. math:: \ell = \frac{\sum_t s_t\,(\beta D_t + V_t - R)^2}{\sum_t s_t},\qquad
        D_t = \log\frac{\pi_t}{\pi^{\text{ref}}_t} + \mathrm{sg}[D_{t+1}]

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the tokens under the policy.
    ref_logp : array (..., T)
        Those under the reference policy; a constant.
    value : array (..., T)
        V, the value of the state in which each token is chosen; a constant.
    reward : array (...)
        R, the reward at the end; a constant.
    level : {"token", "step", "response"}
        What a state's error may change: its own token; the tokens up to the next state; or, of the
        first state's error alone, the whole response.
    beta : float
        :math:`\beta`: 0.03 in all published scripts, 0.01 in the code's constructor.
    states : boolean array, broadcastable to (..., T)
        s, the places of states: all actions by default.
    clip : float, optional
        Bound on the magnitude of D.
    hinge_coeff : float
        For "response": weight of :math:`\max(0, -D)` in sequences whose reward is 1, averaged over
        those.
    where : boolean array, broadcastable to (..., T)
        True where a token is an action; others add nothing to D.
    weight : array, broadcastable to (...)
        Weights of the sequences; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        A sequence without a state costs 0 and is left out of the mean.

    Returns
    -------
    array () or (...)
        A scalar, or the losses of the sequences with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        An unknown level, a hinge without "response", or shapes that don't fit.

    Notes
    -----
    Levels "token" and "step" have the value of :func:`anymax.path_consistency_value_loss`; they
    differ in their gradients, and second derivatives through what is held constant are 0.  At
    "token" it is :math:`2\beta` times the error, over the number of states.  "response" is the
    square of the first state's error, as PCL and DRO have it.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp, value = np.asarray([[-1.0, -2.0]]), np.asarray([[0.5, 0.0]])
    >>> args = (logp, logp, value, np.asarray([1.0]))
    >>> float(am.path_consistency_policy_loss(*args, level="response"))
    0.25

    References
    ----------
    .. [1] H. Wang et al., "Offline reinforcement learning for LLM multi-step reasoning", 2024,
       section 3. arXiv:2412.16145.
    """
    name = "path_consistency_policy_loss"
    check_reduction(name, reduction)
    if level not in ("token", "step", "response"):
        raise ValueError(f"{name}: level is {level!r}; 'token', 'step' or 'response' fits")
    if hinge_coeff and level != "response":
        raise ValueError(f"{name}: hinge_coeff goes with level 'response', not {level!r}")
    _array.required(name, logp=logp, ref_logp=ref_logp, value=value, reward=reward)
    ref_logp, value, reward = map(_array.stop_gradient, (ref_logp, value, reward))
    case = _path(name, logp, ref_logp, value, reward, states, where, weight)
    xp = case.ops.xp
    if level == "response":
        loss = _response(name, case, beta, clip, hinge_coeff, reduction)
        return case.ops.finish(loss)
    total = _held_sum(xp, case, level)
    gap = beta * _bounded(name, xp, total, clip) + case.value - case.reward[..., None]
    gap = select(xp, case.states, gap)
    return case.ops.finish(case.reduced(case.mean(gap * gap), reduction))


def _held_sum(xp: Any, case: _Path, level: str) -> Array:
    """D, whose gradient reaches a state's own token, or those up to the next state."""
    still = _array.stop_gradient(case.d)
    finite = xp.isfinite(still)
    moving = select(xp, finite, case.d) - select(xp, finite, still)  # 0, with the gradient of d
    if level == "step":
        moving = backward_scan(xp, moving, xp.astype(~earlier(xp, case.states), moving.dtype))
    return suffix_sum(xp, still) + moving


def _response(
    function: str, case: _Path, beta: float, clip: float | None, hinge: float, reduction: str
) -> Array:
    """The first state's squared error, and the hinge of sequences whose reward is 1."""
    xp, states = case.ops.xp, case.states
    count = xp.cumulative_sum(xp.astype(states, case.d.dtype), axis=-1)
    first = states & (count == 1)
    total = xp.sum(select(xp, first, suffix_sum(xp, case.d)), axis=-1)
    value = xp.sum(select(xp, first, case.value), axis=-1)
    gap = beta * _bounded(function, xp, total, clip) + value - case.reward
    loss = case.reduced(gap * gap, reduction)
    if not hinge:
        return loss
    won = case._replace(live=case.live & (case.reward == 1))
    return loss + hinge * won.reduced(select(xp, total < 0, -total), reduction)


@form(shapes=f"{_PATH} -> ... T", papers=_PAPER, cost="O(n log T)")
def soft_bellman_residual(
    logp: Array,
    ref_logp: Array,
    value: Array,
    reward: Array,
    /,
    *,
    beta: float = 0.03,
    states: Array | None = None,
    where: Array | None = None,
) -> Array:
    r"""Error of the soft Bellman equation between each state and the next.

    .. math:: e_t = V_t - r_t - V_{n(t)} + \beta \sum_{t \le i < n(t)}
        (\log\pi_i - \log\pi^{\text{ref}}_i)

    where n(t) is the next state; behind the last one V is 0 and r is the reward.

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the tokens under the policy.
    ref_logp : array (..., T)
        Those under the reference policy; a constant.
    value : array (..., T)
        V, the value of the state in which each token is chosen.
    reward : array (...)
        The reward at the end; a constant.
    beta : float
        :math:`\beta`.
    states : boolean array, broadcastable to (..., T)
        The places of states: all actions by default.
    where : boolean array, broadcastable to (..., T)
        True where a token is an action; others add nothing.

    Returns
    -------
    array (..., T)
        Errors, not squared; 0 where there is no state.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, a mask isn't boolean, or shapes don't fit.

    Notes
    -----
    Summed from a state to the end they give :math:`\beta D_t + V_t - R`, the error of
    :func:`anymax.path_consistency_value_loss`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp, value = np.asarray([[-1.0, -2.0]]), np.asarray([[0.5, 0.25]])
    >>> am.soft_bellman_residual(logp, logp, value, np.asarray([1.0]))
    array([[ 0.25, -0.75]])

    References
    ----------
    .. [1] H. Wang et al., "Offline reinforcement learning for LLM multi-step reasoning", 2024,
       section 3. arXiv:2412.16145.
    """
    name = "soft_bellman_residual"
    _array.required(name, logp=logp, ref_logp=ref_logp, value=value, reward=reward)
    ref_logp, reward = _array.stop_gradient(ref_logp), _array.stop_gradient(reward)
    case = _path(name, logp, ref_logp, value, reward, states, where)
    xp, following = case.ops.xp, earlier(case.ops.xp, case.states)
    passed = backward_scan(xp, case.d, xp.astype(~following, case.d.dtype))
    behind = upcoming(xp, case.value, case.states, case.reward)
    residual = case.value - behind + beta * passed
    return case.ops.finish(select(xp, case.states, residual))
