"""Advantages of the steps of agents: of their episode in its group, of each step at its state."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses.policy._groups import centred, groups
from anymax.losses.policy._tokens import check_bound
from anymax.losses.policy.advantages import check_members, check_options, relative
from anymax.primitives._masked import select
from anymax.softmaxes._operands import operands

_PAPER = ("2505.10978",)


@form(shapes="reward: N, trajectory: N -> N", papers=_PAPER, cost="O(N log N)")
def step_discounted_returns(
    reward: Array, trajectory: Array, /, *, gamma: float | Array = 0.95
) -> Array:
    r"""Discounted sum of the rewards that follow each step in its trajectory.

    .. math:: R_t = r_t + \gamma R_{t+1}

    Parameters
    ----------
    reward : array (N,)
        Rewards of all steps, those of a trajectory in the order of time.
    trajectory : integer array (N,)
        Which trajectory each step belongs to; trajectories may lie mixed.
    gamma : float or array ()
        :math:`\gamma`.  The official code asks for it; 0.95 is recalled from the paper.

    Returns
    -------
    array (N,)
        Returns.

    Raises
    ------
    TypeError, ValueError
        `trajectory` is not integer, or the shapes don't fit.

    Notes
    -----
    A segmented scan, where the official code takes time quadratic in the length.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> reward, trajectory = np.asarray([0.0, 1.0, 4.0, 8.0]), np.asarray([0, 1, 0, 1])
    >>> am.step_discounted_returns(reward, trajectory, gamma=0.5)
    array([2., 5., 4., 8.])

    References
    ----------
    .. [1] L. Feng et al., "Group-in-group policy optimization for LLM agent training", 2025,
       section 4.2. arXiv:2505.10978.
    """
    name = "step_discounted_returns"
    _array.required(name, reward=reward, trajectory=trajectory)
    _array.namespace(name, reward=reward, trajectory=trajectory)
    if gamma is None:
        raise TypeError(f"{name}: gamma is None; a number or an array fits")
    ops = operands(name, reward=reward, gamma=gamma)
    x, gamma = ops.arrays
    if not _array.is_scalar(gamma):
        _array.check_broadcast(name, "gamma", gamma, (), "a scalar")
    check_members(name, x, trajectory=trajectory)
    return ops.finish(groups(name, ops.xp, trajectory=trajectory).backward(x, gamma))


@form(
    shapes="episode_return: N, step_return: N, group: N, anchor: N, trajectory: N -> N",
    papers=_PAPER,
    cost="O(N log N)",
)
def gigpo_advantage(
    episode_return: Array,
    step_return: Array,
    group: Array,
    anchor: Array,
    trajectory: Array,
    /,
    *,
    step_weight: float | Array = 1.0,
    kind: str = "mean",
    eps: float = 1e-6,
    episode_stats: str = "across_steps",
    where: Array | None = None,
) -> Array:
    r"""Advantage of a step's episode in its group, plus the step's among those at the same state.

    .. math:: A = A^E + \omega A^S,\qquad
        A^E = \frac{R^E - \bar R^E_g}{F_g},\qquad A^S = \frac{R^S - \bar R^S_{g,s}}{F_{g,s}}

    Parameters
    ----------
    episode_return : array (N,)
        Return of the episode that each of N steps belongs to.
    step_return : array (N,)
        Discounted return from each step on, see :func:`anymax.step_discounted_returns`.
    group : integer array (N,)
        Task that the step's episode tries.
    anchor : integer array (N,)
        Number of the state: equal where observations are equal.
    trajectory : integer array (N,)
        Number of the episode.
    step_weight : float or array ()
        :math:`\omega`.
    kind : {"mean", "mean_std"}
        F is 1, or the standard deviation (of n - 1) plus `eps`.
    eps : float
        For "mean_std".
    episode_stats : {"across_steps", "per_trajectory"}
        Whether the group's statistics count every step, or each episode once.
    where : boolean array (N, L), optional
        Tokens of each step that take part.

    Returns
    -------
    array (N,) or (N, L)
        Advantages, for each token with `where`: 0 where masked.

    Raises
    ------
    TypeError, ValueError
        Numbers that aren't integers, an unknown option, or shapes that don't fit.

    Notes
    -----
    A group of one step (or episode) gives its episode return as it is (over 1 + `eps` with
    "mean_std"), as verl-agent; an anchor of one step gives 0.  A step without any token is in no
    mean.  States are compared in their group only.

    ==================  =================================================================
    `episode_stats`     whose default
    ==================  =================================================================
    "across_steps"      verl-agent: long episodes weigh more
    "per_trajectory"    DrMAS, by the same author; the two differ by up to 0.3 in practice
    ==================  =================================================================

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> episode, step = np.asarray([1.0, 1.0, 0.0]), np.asarray([0.5, 1.0, 0.0])
    >>> group, anchor, trajectory = np.zeros(3, int), np.asarray([0, 1, 0]), np.asarray([0, 0, 1])
    >>> kwargs = {"episode_stats": "per_trajectory"}
    >>> am.gigpo_advantage(episode, step, group, anchor, trajectory, **kwargs)
    array([ 0.75,  0.5 , -0.75])

    References
    ----------
    .. [1] L. Feng et al., "Group-in-group policy optimization for LLM agent training", 2025,
       equations 3 to 8. arXiv:2505.10978.
    """
    name = "gigpo_advantage"
    check_options(name, kind, "raw")
    eps = check_bound(name, "eps", eps)
    if episode_stats not in ("across_steps", "per_trajectory"):
        raise ValueError(
            f"{name}: episode_stats is {episode_stats!r}; 'across_steps' or 'per_trajectory' fits"
        )
    ids = {"group": group, "anchor": anchor, "trajectory": trajectory}
    given = {"episode_return": episode_return, "step_return": step_return}
    _array.required(name, **given, **ids)
    _array.namespace(name, **given, **ids, where=where)
    ops = operands(name, **given, step_weight=step_weight)
    xp, (episode, step, omega) = ops.xp, ops.arrays
    if not _array.is_scalar(omega):
        _array.check_broadcast(name, "step_weight", omega, (), "a scalar")
    check_members(name, episode, step_return=step, **ids)
    live = xp.ones_like(episode) == 1
    if where is not None:
        _check_tokens(name, where, episode.shape[0])
        live = live & xp.any(where, axis=-1)
    episode, step = select(xp, live, episode), select(xp, live, step)
    counted = live
    if episode_stats == "per_trajectory":
        counted = groups(name, xp, group=group, trajectory=trajectory).first(live)
    d, std = centred(groups(name, xp, group=group), episode, counted, "raw")
    a = relative(xp, d, std, kind, eps)
    d, std = centred(groups(name, xp, group=group, anchor=anchor), step, live, "zero")
    a = select(xp, live, a + omega * relative(xp, d, std, kind, eps))
    return ops.finish(a if where is None else select(xp, where, a[:, None] + _zeros(xp, where, a)))


def _zeros(xp, where: Array, like: Array) -> Array:
    return xp.zeros_like(xp.astype(where, like.dtype))


def _check_tokens(function: str, where: Array, n: int) -> None:
    if _array.is_scalar(where) or where.ndim != 2 or where.shape[0] not in (1, n):
        shape = "()" if _array.is_scalar(where) else _array.shape_text(where.shape)
        raise ValueError(
            f"{function}: where has shape {shape}; tokens of each of N steps fit, ({n}, L)"
        )
    _array.check_mask(function, "where", where, (n, where.shape[1]), "the tokens")
