"""Advantages: by how much actions did better than expected, or than their group did."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses.policy._groups import centred, groups
from anymax.losses.policy._scan import backward_scan, upcoming
from anymax.losses.policy._tokens import check_bound
from anymax.primitives._masked import nonzero, select
from anymax.softmaxes._operands import operands


@form(
    shapes="reward: ... T, value: ... T -> ... T, ... T", papers=("1506.02438",),
    cost="O(n log T)",
)  # fmt: skip
def generalized_advantage_estimate(
    reward: Array,
    value: Array,
    /,
    *,
    gamma: float = 1.0,
    lam: float = 1.0,
    where: Array | None = None,
    last_value: Array | None = None,
    whiten: bool = False,
) -> tuple[Array, Array]:
    r"""Exponentially weighted sum of the errors that a value function makes in time.

    .. math:: A_t = \delta_t + \gamma\lambda A_{t+1},\qquad
        \delta_t = r_t + \gamma V_{t+1} - V_t,\qquad R_t = A_t + V_t

    Parameters
    ----------
    reward : array (..., T)
        Rewards r of T steps.
    value : array (..., T)
        Values V of their states.
    gamma : float
        :math:`\gamma`, the discount.
    lam : float
        :math:`\lambda`: 0 gives :math:`\delta`, 1 the discounted rewards to come, less V.
    where : boolean array, broadcastable to (..., T)
        True where a step takes part; others are skipped, as if the next one came at once.
    last_value : array (...), optional
        Value of the state behind the last step; 0 by default.
    whiten : bool
        Give the advantages mean 0 and variance 1 over all steps that take part.

    Returns
    -------
    advantage : array (..., T)
        A; 0 where masked.
    returns : array (..., T)
        R, of the advantages before whitening; 0 where masked.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or shapes don't fit.

    Notes
    -----
    A scan in log2(T) passes.  Losses take both results as constants.

    ===================  =======================================================================
    convention           here
    ===================  =======================================================================
    gamma, lam           1 and 1, as verl; most of the literature has 0.99 and 0.95
    masked steps         skipped, as verl (which reports the next advantage there, not 0)
    whiten               verl: variance with n - 1, 1e-8 added; with fewer than two steps the
                         advantages stay as they are (verl raises ValueError)
    ===================  =======================================================================

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> reward, value = np.asarray([0.0, 0.0, 1.0]), np.asarray([0.5, 0.25, 0.5])
    >>> am.generalized_advantage_estimate(reward, value, gamma=0.5, lam=0.0)[0]
    array([-0.375,  0.   ,  0.5  ])

    References
    ----------
    .. [1] J. Schulman et al., "High-dimensional continuous control using generalized advantage
       estimation", 2016, equation 16. arXiv:1506.02438.
    """
    name = "generalized_advantage_estimate"
    _array.required(name, reward=reward, value=value)
    _array.namespace(name, reward=reward, where=where)
    ops = operands(name, reward=reward, value=value, last_value=last_value)
    xp, (reward, value, last) = ops.xp, ops.arrays
    if not reward.ndim or tuple(reward.shape) != tuple(value.shape):
        raise ValueError(
            f"{name}: reward has shape {_array.shape_text(reward.shape)} and value "
            f"{_array.shape_text(value.shape)}; the same shape (..., T) fits"
        )
    _array.check_mask(name, "where", where, reward.shape, "reward")
    live = xp.ones_like(reward) == 1
    live = live if where is None else live & where
    if last is not None:
        _array.check_broadcast(name, "last_value", last, reward.shape[:-1], "the sequences")
        last = xp.broadcast_to(last, tuple(reward.shape[:-1]))
    reward, value = select(xp, live, reward), select(xp, live, value)
    following = upcoming(xp, value, live, last)
    decay = xp.where(live, xp.full_like(reward, gamma * lam), xp.ones_like(reward))
    delta = select(xp, live, reward + (gamma * following if gamma else 0.0) - value)
    advantage = select(xp, live, backward_scan(xp, delta, decay))
    returns = select(xp, live, advantage + value)
    if whiten:
        advantage = _whitened(xp, advantage, live)
    return ops.finish(advantage), ops.finish(returns)


def _whitened(xp: Any, x: Array, live: Array) -> Array:
    n = xp.sum(xp.astype(live, x.dtype))
    enough = n > 1
    mean = xp.sum(x) / nonzero(xp, n)
    d = select(xp, live, x - mean)
    variance = xp.sum(d * d) / select(xp, enough, n - 1.0, 1.0)
    return xp.where(enough, d / xp.sqrt(variance + 1e-8), x)


_GROUPED = "reward: N, group: N -> N"


@form(shapes=_GROUPED, papers=("2402.03300", "2503.20783"), cost="O(N log N)")
def group_relative_advantage(
    reward: Array,
    group: Array,
    /,
    *,
    kind: str = "mean_std",
    eps: float = 1e-6,
    singleton: str = "raw",
    where: Array | None = None,
) -> Array:
    r"""By how much each answer's reward exceeds the mean of the answers to the same question.

    .. math:: A_i = \frac{r_i - \bar r_g}{s_g + \epsilon},\qquad
        s_g^2 = \frac1{n_g - 1}\sum_{j \in g} (r_j - \bar r_g)^2

    Parameters
    ----------
    reward : array (N,)
        Rewards r.
    group : integer array (N,)
        Which group each belongs to; any integers, in any order.
    kind : {"mean_std", "mean"}
        "mean" leaves the division out.
    eps : float
        :math:`\epsilon`.
    singleton : {"raw", "zero"}
        A group of one gives :math:`r / (1 + \epsilon)` (r for "mean"), or 0.
    where : boolean array (N,), optional
        True where an answer counts; others are in no mean, and get 0.

    Returns
    -------
    array (N,)
        Advantages.

    Raises
    ------
    TypeError, ValueError
        `group` is not integer, an unknown option, or the shapes don't fit.

    Notes
    -----
    Equal rewards in a group of several give exactly 0.  NaN poisons its own group only.

    ============  =====================================  =============================
    option        verl                                   TRL
    ============  =====================================  =============================
    `kind`        norm_adv_by_std_in_grpo; Dr. GRPO and  scale_rewards
                  GiGPO: "mean"
    `eps`         1e-6                                   1e-4
    `singleton`   "raw": mean 0 and deviation 1          "zero"
    ============  =====================================  =============================

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> reward, group = np.asarray([1.0, 0.0, 5.0, 2.0]), np.asarray([0, 0, 7, 0])
    >>> am.group_relative_advantage(reward, group, eps=0.0)
    array([ 0., -1.,  5.,  1.])

    References
    ----------
    .. [1] Z. Shao et al., "DeepSeekMath", 2024, section 4.1.2. arXiv:2402.03300.
    .. [2] Z. Liu et al., "Understanding R1-zero-like training", 2025, section 3 (no division).
       arXiv:2503.20783.
    """
    name = "group_relative_advantage"
    check_options(name, kind, singleton)
    eps = check_bound(name, "eps", eps)
    ops, x, counted, members = _grouped(name, reward, group, where)
    d, std = centred(members, x, counted, singleton)
    return ops.finish(select(ops.xp, counted, relative(ops.xp, d, std, kind, eps)))


def check_options(function: str, kind: str, singleton: str) -> None:
    if kind not in ("mean_std", "mean"):
        raise ValueError(f"{function}: kind is {kind!r}; 'mean_std' or 'mean' fits")
    if singleton not in ("raw", "zero"):
        raise ValueError(f"{function}: singleton is {singleton!r}; 'raw' or 'zero' fits")


def relative(xp: Any, d: Array, std: Array, kind: str, eps: float) -> Array:
    """Deviations divided by the standard deviation and eps, 0 / 0 being 0."""
    return d if kind == "mean" else d / nonzero(xp, std + eps)


def _grouped(function: str, reward: Array, group: Array, where: Array | None) -> Any:
    _array.required(function, reward=reward, group=group)
    _array.namespace(function, reward=reward, group=group, where=where)
    ops = operands(function, reward=reward)
    xp, (x,) = ops.xp, ops.arrays
    check_members(function, x, group=group)
    _array.check_mask(function, "where", where, x.shape, "reward")
    counted = xp.ones_like(x) == 1
    counted = counted if where is None else counted & where
    return ops, select(xp, counted, x), counted, groups(function, xp, group=group)


def check_members(function: str, x: Array, **others: Array) -> None:
    for name, y in others.items():
        if x.ndim != 1 or tuple(y.shape) != tuple(x.shape):
            raise ValueError(
                f"{function}: {name} has shape {_array.shape_text(y.shape)} beside "
                f"{_array.shape_text(x.shape)}; one entry for each of N members fits, (N,)"
            )


@form(shapes=_GROUPED, papers=("2402.14740",), cost="O(N log N)")
def leave_one_out_advantage(
    reward: Array, group: Array, /, *, singleton: str = "raw", where: Array | None = None
) -> Array:
    r"""By how much each answer's reward exceeds the mean of its group's other answers.

    .. math:: A_i = r_i - \frac1{n_g - 1}\sum_{j \in g,\, j \ne i} r_j

    Parameters
    ----------
    reward : array (N,)
        Rewards r.
    group : integer array (N,)
        Which group each belongs to; any integers, in any order.
    singleton : {"raw", "zero"}
        What a group of one gives: r as verl, or 0 as TRL.
    where : boolean array (N,), optional
        True where an answer counts; others are in no mean, and get 0.

    Returns
    -------
    array (N,)
        Advantages; they sum to 0 in every group of several.

    Raises
    ------
    TypeError, ValueError
        `group` is not integer, an unknown option, or the shapes don't fit.

    Notes
    -----
    RLOO: :math:`n / (n - 1)` times the deviation from the group's mean, and so unbiased, unlike
    :func:`anymax.group_relative_advantage`.  TRL's rewards of NaN, for answers that can't be
    scored, are a `where` here.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.leave_one_out_advantage(np.asarray([1.0, 0.0, 5.0]), np.asarray([0, 0, 0]))
    array([-1.5, -3. ,  4.5])

    References
    ----------
    .. [1] A. Ahmadian et al., "Back to basics: revisiting REINFORCE style optimization for learning
       from human feedback in LLMs", 2024, section 3. arXiv:2402.14740.
    """
    name = "leave_one_out_advantage"
    check_options(name, "mean", singleton)
    ops, x, counted, members = _grouped(name, reward, group, where)
    xp = ops.xp
    d, _ = centred(members, x, counted, singleton)
    n = members.total(xp.astype(counted, x.dtype))
    factor = xp.where(n > 1, n / select(xp, n > 1, n - 1.0, 1.0), xp.ones_like(n))
    return ops.finish(select(xp, counted, d * factor))
