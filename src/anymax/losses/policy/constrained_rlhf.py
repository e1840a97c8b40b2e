"""Rewards under constraints: advantages mixed by Lagrange multipliers, and how those learn."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import mean_over
from anymax.primitives._masked import select
from anymax.softmaxes._operands import operands

_PAPER = ("2310.04373",)
_MIXED = "kl_advantage: ..., constraint_advantage: ... K, multiplier: K"
_LOSS = "multiplier: K, episode_return: ... K, threshold: K"


@form(shapes=f"{_MIXED} -> ...", papers=_PAPER, cost="O(N K)")
def lagrangian_mixed_advantage(
    kl_advantage: Array,
    constraint_advantage: Array,
    multiplier: Array,
    /,
    *,
    squash: str | None = "sigmoid",
) -> Array:
    r"""Advantages of several rewards and of staying close, mixed by Lagrange multipliers.

    .. math:: A = \Big(K - \sum_i \mu_i\Big) A^{\text{KL}} + \sum_i \mu_i A^i,\qquad
        \mu_i = \sigma(\lambda_i)

    Parameters
    ----------
    kl_advantage : array (...)
        Advantages of the penalty for leaving the reference policy.
    constraint_advantage : array (..., K)
        Advantages of K rewards, each standardised by the caller.
    multiplier : array (K,)
        :math:`\lambda`, before the squashing.
    squash : {"sigmoid", "tanh", None}
        "sigmoid" for inequalities; "tanh" for equalities, whose reward may be pushed down; None
        takes :math:`\mu = \lambda` and gives the KL advantage weight 1.

    Returns
    -------
    array (...)
        Mixed advantages.

    Raises
    ------
    TypeError, ValueError
        An unknown squashing, or shapes that don't fit.

    Notes
    -----
    The weights sum to K with a squashing.  The official code standardises each column first, by its
    mean and its standard deviation (of n - 1) plus 1e-8.  Its branch without squashing broadcasts
    only for K up to 2; here it is the formula that was meant.  Multipliers of inequalities that
    aren't squashed must be kept from below 0 by the caller.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> kl, reward = np.asarray([1.0]), np.asarray([[3.0, 5.0]])
    >>> am.lagrangian_mixed_advantage(kl, reward, np.zeros(2))
    array([5.])

    References
    ----------
    .. [1] T. Moskovitz et al., "Confronting reward model overoptimization with constrained RLHF",
       2023, section 4. arXiv:2310.04373.
    """
    name = "lagrangian_mixed_advantage"
    given = {
        "kl_advantage": kl_advantage, "constraint_advantage": constraint_advantage,
        "multiplier": multiplier,
    }  # fmt: skip
    _array.required(name, **given)
    ops = operands(name, **given)
    xp, (kl, a, raw) = ops.xp, ops.arrays
    _shapes.check(name, f"{_MIXED} ->", dict(zip(given, ops.arrays)))
    _array.check_broadcast(name, "kl_advantage", kl, a.shape[:-1], "the examples")
    mu = _squashed(xp, name, raw, squash)
    mixed = xp.sum(a * mu, axis=-1)
    return ops.finish(mixed + (kl if squash is None else (a.shape[-1] - xp.sum(mu)) * kl))


def _squashed(xp: Any, function: str, raw: Array, squash: str | None) -> Array:
    if squash not in ("sigmoid", "tanh", None):
        raise ValueError(f"{function}: squash is {squash!r}; 'sigmoid', 'tanh' or None fits")
    if squash is None:
        return raw
    if squash == "tanh":
        return xp.tanh(raw)
    return _sigmoid(xp, raw)


def _sigmoid(xp: Any, x: Array) -> Array:
    """By the exponential that can't overflow, on either side of 0."""
    low = x < 0
    e = xp.exp(xp.where(low, x, -x))
    return xp.where(low, e, xp.ones_like(e)) / (1.0 + e)


@form(shapes=f"{_LOSS} -> ", papers=_PAPER, cost="O(N K)")
def lagrange_multiplier_loss(
    multiplier: Array,
    episode_return: Array,
    threshold: Array,
    /,
    *,
    squash: str | None = "sigmoid",
    where: Array | None = None,
) -> Array:
    r"""Loss that raises a multiplier while its reward is below its threshold.

    .. math:: \mathcal L = \sum_i \sigma(\lambda_i)\,(\bar R_i - \theta_i)

    Parameters
    ----------
    multiplier : array (K,)
        :math:`\lambda`, before the squashing.
    episode_return : array (..., K)
        Returns R of episodes, for each of K rewards; a constant.
    threshold : array (K,)
        :math:`\theta`; a constant.
    squash : {"sigmoid", "tanh", None}
        As :func:`anymax.lagrangian_mixed_advantage`.
    where : boolean array, broadcastable to (..., K)
        True where an episode's return counts.

    Returns
    -------
    array ()
        The loss, to be minimised.

    Raises
    ------
    TypeError, ValueError
        An unknown squashing, or shapes that don't fit.

    Notes
    -----
    The gradient by :math:`\lambda_i` is :math:`\sigma'(\lambda_i)(\bar R_i - \theta_i)`: it fades
    where the squashing is saturated.  A reward without any episode that counts adds nothing.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> returns, threshold = np.asarray([[0.5], [1.0]]), np.asarray([0.25])
    >>> float(am.lagrange_multiplier_loss(np.zeros(1), returns, threshold))
    0.25

    References
    ----------
    .. [1] T. Moskovitz et al., "Confronting reward model overoptimization with constrained RLHF",
       2023, section 4. arXiv:2310.04373.
    """
    name = "lagrange_multiplier_loss"
    _array.required(name, multiplier=multiplier, episode_return=episode_return, threshold=threshold)
    given = {
        "multiplier": multiplier, "episode_return": _array.stop_gradient(episode_return),
        "threshold": _array.stop_gradient(threshold),
    }  # fmt: skip
    _array.namespace(name, **given, where=where)
    ops = operands(name, **given)
    xp, (raw, r, threshold) = ops.xp, ops.arrays
    _shapes.check(name, f"{_LOSS} ->", dict(zip(given, ops.arrays)))
    _array.check_mask(name, "where", where, r.shape, "episode_return")
    live = xp.ones_like(r) == 1
    live = live if where is None else live & where
    batch = tuple(range(r.ndim - 1))
    count = xp.sum(xp.astype(live, r.dtype), axis=batch) if batch else xp.astype(live, r.dtype)
    total = select(xp, live, r)
    total = xp.sum(total, axis=batch) if batch else total
    gap = select(xp, count != 0, mean_over(xp, total, count) - threshold)
    return ops.finish(xp.sum(_squashed(xp, name, raw, squash) * gap))
