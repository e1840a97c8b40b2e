"""Policy gradients: log-probabilities weighted by advantages, or by soft functions of ratios."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses.policy._tokens import (
    check_bound,
    clipped,
    log_ratio,
    logarithm,
    scaled,
    tokens,
)

_SHAPES = "logp: ... T, old_logp: ... T, advantage: ... T -> "


@form(shapes="logp: ... T, advantage: ... T -> ", cost="O(n)")
def reinforce_loss(
    logp: Array,
    advantage: Array,
    /,
    *,
    where: Array | None = None,
    reduction: str = "mean",
    length: float | None = None,
) -> Array:
    r"""Loss whose gradient is the policy gradient.

    .. math:: \ell_t = -A_t \log\pi_t

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the tokens under the policy that drew them.
    advantage : array (..., T)
        A, a constant; also (..., 1), or without the last axis for one number a sequence.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.
    reduction : str
        As :func:`anymax.aggregate_loss`.
    length : float, optional
        As :func:`anymax.aggregate_loss`.

    Returns
    -------
    array () or (..., T)
        A scalar, or the losses of the tokens with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or shapes or options don't fit.

    Notes
    -----
    Only the gradient means anything, not the value.  Advantage 0 costs 0, whatever the
    log-probability.  Where the policy has not moved yet, PPO's loss has this gradient.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp = np.asarray([[-1.0, -2.0], [-3.0, -4.0]])
    >>> float(am.reinforce_loss(logp, np.asarray([1.0, -1.0])))
    -1.0

    References
    ----------
    .. [1] R. J. Williams, "Simple statistical gradient-following algorithms for connectionist
       reinforcement learning", Machine Learning 8, 1992.
    """
    case = tokens(
        "reinforce_loss", logp=logp, advantage=advantage, where=where, reduction=reduction,
        length=length,
    )  # fmt: skip
    logp, advantage = case.arrays
    return case.finish(scaled(case.xp, -advantage, logp))


@form(shapes="logp: ... T, reward: ..., baseline: ... -> ", papers=("1612.00563",), cost="O(n)")
def self_critical_loss(
    logp: Array,
    reward: Array,
    baseline: Array,
    /,
    *,
    where: Array | None = None,
    reduction: str = "mean",
    length: float | None = None,
) -> Array:
    r"""Policy gradient of a sampled sequence, against the reward of the greedy one.

    .. math:: \ell_t = -(r - r_{\text{greedy}})\,\log\pi_t

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the sampled tokens.
    reward : array (...)
        Reward of each sampled sequence, a constant; (..., T) for one a token.
    baseline : array (...)
        Reward of the greedy sequence, a constant; (..., T) for one a token.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part, the end of the sequence among them.
    reduction : str
        As :func:`anymax.aggregate_loss`.
    length : float, optional
        As :func:`anymax.aggregate_loss`.

    Returns
    -------
    array () or (..., T)
        A scalar, or the losses of the tokens with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or shapes or options don't fit.

    Notes
    -----
    =============================  ===================================================
    reduction                      whose convention
    =============================  ===================================================
    "mean"                         self-critical.pytorch: over all tokens
    "seq-mean-token-sum"           the summarisation paper: sums of sequences, averaged
    =============================  ===================================================

    self-critical.pytorch ends a sequence with its first token 0, which is scored.  A baseline that
    is the mean reward of the other samples makes it leave-one-out.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp = np.asarray([[-1.0, -2.0]])
    >>> float(am.self_critical_loss(logp, np.asarray([3.0]), np.asarray([1.0])))
    3.0

    References
    ----------
    .. [1] S. J. Rennie et al., "Self-critical sequence training for image captioning", 2017,
       equation 9. arXiv:1612.00563.
    """
    case = tokens(
        "self_critical_loss", logp=logp, reward=reward, baseline=baseline, where=where,
        reduction=reduction, length=length,
    )  # fmt: skip
    logp, reward, baseline = case.arrays
    return case.finish(scaled(case.xp, baseline - reward, logp))


@form(shapes=_SHAPES, papers=("2506.13585",), cost="O(n)")
def cispo_loss(
    logp: Array,
    old_logp: Array,
    advantage: Array,
    /,
    *,
    ratio_min: float = 0.0,
    ratio_max: float = 5.0,
    ratio: str = "token",
    where: Array | None = None,
    reduction: str = "mean",
    length: float | None = None,
) -> Array:
    r"""Policy gradient weighted by a clipped ratio that is a constant, so that no token is lost.

    .. math:: \ell_t = -\mathrm{sg}\big[\mathrm{clip}(\rho_t, \rho_{\min}, \rho_{\max})\big]\,A_t
        \log\pi_t

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the tokens under the policy.
    old_logp : array (..., T)
        Those under the policy that drew them; a constant.
    advantage : array (..., T)
        A, a constant; also (..., 1), or without the last axis for one number a sequence.
    ratio_min, ratio_max : float
        Bounds on the ratio itself.
    ratio : {"token", "sequence"}
        As :func:`anymax.ppo_clip_loss`.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.
    reduction : str
        As :func:`anymax.aggregate_loss`.
    length : float, optional
        As :func:`anymax.aggregate_loss`.

    Returns
    -------
    array () or (..., T)
        A scalar, or the losses of the tokens with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or shapes or options don't fit.

    Notes
    -----
    The gradient by logp is :math:`-\mathrm{clip}(\rho) A` everywhere, also where PPO's is 0.

    ============  ===========================================  =============
    option        verl                                         TRL
    ============  ===========================================  =============
    `ratio_min`   1 - clip_ratio_low, 0.8                      0
    `ratio_max`   1 + clip_ratio_high, 1.2                     epsilon_high, 5
    ============  ===========================================  =============

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp, old = np.asarray([[-1.0, -2.0]]), np.asarray([[-1.0, -12.0]])
    >>> am.cispo_loss(logp, old, np.asarray([1.0]), reduction="none")
    array([[ 1., 10.]])

    References
    ----------
    .. [1] MiniMax, "MiniMax-M1", 2025, equation 4. arXiv:2506.13585.
    """
    name = "cispo_loss"
    case = tokens(
        name, logp=logp, old_logp=old_logp, advantage=advantage, where=where, reduction=reduction,
        length=length,
    )  # fmt: skip
    xp, (logp, old, advantage) = case.xp, case.arrays
    lower = logarithm(check_bound(name, "ratio_min", ratio_min))
    upper = logarithm(check_bound(name, "ratio_max", ratio_max))
    d = _array.stop_gradient(log_ratio(name, case, logp, old, ratio))
    weight = scaled(xp, -advantage, xp.exp(clipped(xp, d, lower, upper)) + xp.zeros_like(old))
    return case.finish(scaled(xp, weight, logp))


@form(shapes=_SHAPES, papers=("2511.20347",), cost="O(n)")
def sapo_loss(
    logp: Array,
    old_logp: Array,
    advantage: Array,
    /,
    *,
    tau_pos: float = 1.0,
    tau_neg: float = 1.05,
    ratio: str = "token",
    where: Array | None = None,
    reduction: str = "mean",
    length: float | None = None,
) -> Array:
    r"""Policy gradient through a sigmoid of the ratio, a soft gate in the place of PPO's clip.

    .. math:: \ell_t = -\frac4{\tau}\,\sigma\big(\tau(\rho_t - 1)\big)\,A_t,\qquad
        \tau = \tau_+\ \text{if}\ A_t > 0\ \text{else}\ \tau_-

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the tokens under the policy.
    old_logp : array (..., T)
        Those under the policy that drew them; a constant.
    advantage : array (..., T)
        A, a constant; also (..., 1), or without the last axis for one number a sequence.
    tau_pos, tau_neg : float
        :math:`\tau_+` and :math:`\tau_-`; they multiply.
    ratio : {"token", "sequence"}
        As :func:`anymax.ppo_clip_loss`.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.
    reduction : str
        As :func:`anymax.aggregate_loss`; verl and the paper take "seq-mean-token-mean".
    length : float, optional
        As :func:`anymax.aggregate_loss`.

    Returns
    -------
    array () or (..., T)
        A scalar, or the losses of the tokens with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or shapes or options don't fit.

    Notes
    -----
    At :math:`\rho = 1` the gradient is REINFORCE's, :math:`-A`; away from it, it fades by
    :math:`4\sigma(1 - \sigma)\rho` instead of ending at a bound.  Ratios so large that the sigmoid
    is 1 have gradient 0.  A larger :math:`\tau_-` lets tokens of negative advantage fade faster.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp = np.zeros((1, 2))
    >>> float(am.sapo_loss(logp, logp, np.asarray([1.5])))
    -3.0

    References
    ----------
    .. [1] C. Gao et al., "Soft adaptive policy optimization", 2025. arXiv:2511.20347.
    """
    name = "sapo_loss"
    case = tokens(
        name, logp=logp, old_logp=old_logp, advantage=advantage, where=where, reduction=reduction,
        length=length,
    )  # fmt: skip
    xp, (logp, old, advantage) = case.xp, case.arrays
    pos = check_bound(name, "tau_pos", tau_pos, 1e-6)
    neg = check_bound(name, "tau_neg", tau_neg, 1e-6)
    d = log_ratio(name, case, logp, old, ratio) + xp.zeros_like(old)
    good = advantage > 0
    tau = xp.where(good, xp.full_like(d, pos), xp.full_like(d, neg))
    d = clipped(xp, d, -xp.inf, xp.log1p(_SATURATED / tau))
    gate = 2.0 * xp.tanh(0.5 * tau * xp.expm1(d)) + 2.0
    return case.finish(scaled(xp, -advantage, gate / tau))


_SATURATED = 80.0  # where a sigmoid is 1, and its slope 0, to the last digit of float64
