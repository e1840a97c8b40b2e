"""Policy gradients whose ratio of probabilities is clipped: PPO and its relatives."""

from __future__ import annotations

import math
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses.policy._kl import estimate
from anymax.losses.policy._tokens import (
    Tokens,
    check_bound,
    clipped,
    log_ratio,
    logarithm,
    tokens,
)
from anymax.primitives._masked import select

_SHAPES = "logp: ... T, old_logp: ... T, advantage: ... T -> "


@form(shapes=_SHAPES, papers=("1707.06347", "1912.09729", "2503.14476"), cost="O(n)")
def ppo_clip_loss(
    logp: Array,
    old_logp: Array,
    advantage: Array,
    /,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    log_ratio_clip: float | None = None,
    ratio: str = "token",
    where: Array | None = None,
    reduction: str = "mean",
    length: float | None = None,
) -> Array:
    r"""Clipped surrogate of a policy's improvement, of proximal policy optimisation.

    .. math:: \ell_t = \max\big(-A_t \rho_t,\ -A_t\,\mathrm{clip}(\rho_t, 1 - \epsilon_-,
        1 + \epsilon_+)\big),\qquad \rho_t = e^{\log\pi_t - \log\pi^{\text{old}}_t}

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the tokens under the policy.
    old_logp : array (..., T)
        Those under the policy that drew them; a constant.
    advantage : array (..., T)
        A, a constant; also (..., 1), or without the last axis for one number a sequence.
    clip_low, clip_high : float
        :math:`\epsilon_-` and :math:`\epsilon_+`; infinity clips nothing.
    dual_clip : float, optional
        c > 1: where A < 0 the loss is at most :math:`-A c`.
    log_ratio_clip : float, optional
        Bound on the magnitude of the log-ratio.
    ratio : {"token", "sequence"}
        "sequence" takes :math:`\rho` of the mean log-ratio of the sequence's tokens, for all.
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
    Bounds act on the log-ratio, before the exponential, so that a clipped ratio can't overflow, in
    value or gradient; there the gradient is 0, at a bound it is still :math:`-A\rho`.  Advantage 0
    costs 0 whatever the ratio.

    =================  =========================  ====================================
    option             verl                       TRL
    =================  =========================  ====================================
    `clip_low`         clip_ratio_low 0.2         epsilon 0.2
    `clip_high`        clip_ratio_high 0.2        epsilon_high, else epsilon
    `dual_clip`        clip_ratio_c 3.0           delta, off (one number for both)
    `log_ratio_clip`   20.0                       none
    `ratio`            "token"                    importance_sampling_level
    `reduction`        loss_agg_mode              loss_type
    =================  =========================  ====================================

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp = np.log(np.asarray([[0.5, 0.75]]))
    >>> old, advantage = np.log(np.asarray([[0.5, 0.5]])), np.asarray([2.0])
    >>> am.ppo_clip_loss(logp, old, advantage, reduction="none")
    array([[-2. , -2.4]])

    References
    ----------
    .. [1] J. Schulman et al., "Proximal policy optimization algorithms", 2017, equation 7.
       arXiv:1707.06347.
    .. [2] D. Ye et al., "Mastering complex control in MOBA games with deep reinforcement learning",
       2020, equation 5 (dual clip). arXiv:1912.09729.
    .. [3] Q. Yu et al., "DAPO", 2025, section 3.1 (two clip values). arXiv:2503.14476.
    """
    name = "ppo_clip_loss"
    case = tokens(
        name, logp=logp, old_logp=old_logp, advantage=advantage, where=where, reduction=reduction,
        length=length,
    )  # fmt: skip
    bounds = _bounds(name, clip_low, clip_high, dual_clip)
    return case.finish(_surrogate(name, case, bounds, log_ratio_clip, ratio))


def _bounds(
    function: str, clip_low: float, clip_high: float, dual_clip: float | None
) -> tuple[float, float, float]:
    """Least and largest log-ratio, and the largest where the advantage is negative."""
    low = check_bound(function, "clip_low", clip_low)
    high = check_bound(function, "clip_high", clip_high)
    most = math.inf
    if dual_clip is not None:
        most = math.log(check_bound(function, "dual_clip", dual_clip, 1.0))
    return logarithm(1.0 - low), math.log1p(high), most


def _surrogate(
    function: str,
    case: Tokens,
    bounds: tuple[float, float, float],
    log_ratio_clip: float | None,
    ratio: str,
) -> Array:
    """-A min-max of the ratio, where only the bounds act that A's sign lets act."""
    xp, (logp, old, advantage) = case.xp, case.arrays[:3]
    d = log_ratio(function, case, logp, old, ratio)
    if log_ratio_clip is not None:
        c = check_bound(function, "log_ratio_clip", log_ratio_clip)
        d = clipped(xp, d, -c, c)
    low, high, most = bounds
    d = d + xp.zeros_like(advantage)
    good, bad = advantage > 0, advantage < 0
    free = xp.full_like(d, xp.inf)
    lower = xp.where(bad, xp.full_like(d, low), -free)
    upper = xp.where(good, xp.full_like(d, high), xp.where(bad, xp.full_like(d, most), free))
    still = (advantage == 0) & ~xp.isnan(d)
    d = clipped(xp, select(xp, ~still, d), lower, upper)
    return -advantage * xp.exp(d)


@form(shapes=_SHAPES, papers=("2507.18071",), cost="O(n)")
def gspo_loss(
    logp: Array,
    old_logp: Array,
    advantage: Array,
    /,
    *,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
    where: Array | None = None,
    reduction: str = "seq-mean-token-mean",
    length: float | None = None,
) -> Array:
    r"""PPO's clipped surrogate with one ratio a sequence, the geometric mean of its tokens' ratios.

    .. math:: \ell_t = \max\big(-A_t s,\ -A_t\,\mathrm{clip}(s, 1 - \epsilon_-,
        1 + \epsilon_+)\big),\qquad
        s = \exp\Big(\frac1{|y|}\sum_t (\log\pi_t - \log\pi^{\text{old}}_t)\Big)

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the tokens under the policy.
    old_logp : array (..., T)
        Those under the policy that drew them; a constant.
    advantage : array (..., T)
        A, a constant; also (..., 1), or without the last axis for one number a sequence.
    clip_low, clip_high : float
        :math:`\epsilon_-` and :math:`\epsilon_+`: far smaller than PPO's, as s hardly moves.  The
        defaults are those of the published recipe, recalled; give your own.
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
        As :func:`anymax.ppo_clip_loss`.

    Notes
    -----
    ``ppo_clip_loss(ratio="sequence")`` under another name.  verl multiplies s, a constant there, by
    each token's own ratio of 1: the same value, and with one advantage a sequence the same
    gradient.  It also bounds the mean log-ratio at 10.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp, old = np.log(np.asarray([[0.5, 0.5]])), np.log(np.asarray([[0.25, 1.0]]))
    >>> float(am.gspo_loss(logp, old, np.asarray([2.0])))
    -2.0

    References
    ----------
    .. [1] C. Zheng et al., "Group sequence policy optimization", 2025, equation 5.
       arXiv:2507.18071.
    """
    name = "gspo_loss"
    case = tokens(
        name, logp=logp, old_logp=old_logp, advantage=advantage, where=where, reduction=reduction,
        length=length,
    )  # fmt: skip
    bounds = _bounds(name, clip_low, clip_high, None)
    return case.finish(_surrogate(name, case, bounds, None, "sequence"))


@form(shapes=_SHAPES, papers=("2402.03300", "2503.20783", "2503.14476"), cost="O(n)")
def grpo_loss(
    logp: Array,
    old_logp: Array,
    advantage: Array,
    /,
    *,
    ref_logp: Array | None = None,
    beta: float | Array = 0.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    log_ratio_clip: float | None = None,
    kl_clip: tuple[float, float] | None = None,
    ratio: str = "token",
    where: Array | None = None,
    reduction: str = "mean",
    length: float | None = None,
    empty: str = "drop",
) -> Array:
    r"""PPO's clipped surrogate with a penalty on the divergence from a reference policy.

    .. math:: \ell_t = \max\big(-A_t \rho_t,\ -A_t\,\mathrm{clip}(\rho_t, 1 - \epsilon_-,
        1 + \epsilon_+)\big) + \beta\,(e^{-d_t} - 1 + d_t),\qquad
        d_t = \log\pi_t - \log\pi^{\text{ref}}_t

    Parameters
    ----------
    logp : array (..., T)
        Log-probabilities of the tokens under the policy.
    old_logp : array (..., T)
        Those under the policy that drew them; a constant.
    advantage : array (..., T)
        A, a constant, as :func:`anymax.group_relative_advantage` gives it; also (..., 1), or
        without the last axis for one number a sequence.
    ref_logp : array (..., T), optional
        Log-probabilities under the reference policy, a constant; needed unless `beta` is 0.
    beta : float or array ()
        :math:`\beta`; differentiated if an array.
    clip_low, clip_high, dual_clip, log_ratio_clip
        As :func:`anymax.ppo_clip_loss`.
    kl_clip : pair of floats, optional
        Bounds on the log-ratio inside the penalty and on its value.
    ratio : {"token", "sequence"}
        As :func:`anymax.ppo_clip_loss`.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.
    reduction : str
        As :func:`anymax.aggregate_loss`.
    length, empty
        As :func:`anymax.aggregate_loss`.

    Returns
    -------
    array () or (..., T)
        A scalar, or the losses of the tokens with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.ppo_clip_loss`; `beta` without `ref_logp`.

    Notes
    -----
    The penalty is the estimator k3 of :func:`anymax.kl_estimate`.

    ====================  =====================================================================
    convention            options
    ====================  =====================================================================
    the paper, TRL        ``reduction="seq-mean-token-mean", empty="keep"``
    "grpo"
    TRL "bnpo", "dapo"    ``reduction="mean"``
    TRL "dr_grpo"         ``reduction="seq-mean-token-sum-norm", length=..., empty="keep"``
    verl                  ``dual_clip=3.0, log_ratio_clip=20.0, kl_clip=(20.0, 10.0)``
    TRL sequence level    ``ratio="sequence"``
    ====================  =====================================================================

    TRL's own default has no penalty, ``beta=0.0``.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logp = np.log(np.asarray([[0.5, 0.25]]))
    >>> float(am.grpo_loss(logp, logp, np.asarray([1.0]), ref_logp=logp, beta=0.04))
    -1.0

    References
    ----------
    .. [1] Z. Shao et al., "DeepSeekMath", 2024, equations 3 and 4. arXiv:2402.03300.
    .. [2] Z. Liu et al., "Understanding R1-zero-like training", 2025, section 3 (Dr. GRPO).
       arXiv:2503.20783.
    .. [3] Q. Yu et al., "DAPO", 2025, section 3. arXiv:2503.14476.
    """
    name = "grpo_loss"
    penalised = not (_array.is_scalar(beta) and beta == 0)
    if ref_logp is None and penalised:
        raise TypeError(f"{name}: beta is {beta}, but ref_logp is None; an array fits")
    more: dict[str, Any] = {} if ref_logp is None else {"ref_logp": ref_logp}
    case = tokens(
        name, logp=logp, old_logp=old_logp, advantage=advantage, **more, where=where,
        reduction=reduction, length=length, empty=empty,
    )  # fmt: skip
    bounds = _bounds(name, clip_low, clip_high, dual_clip)
    loss = _surrogate(name, case, bounds, log_ratio_clip, ratio)
    if penalised:
        xp, d = case.xp, case.arrays[0] - case.arrays[3]
        if not _array.is_scalar(beta):
            beta = _array.cast(xp, beta, d.dtype)
        loss = loss + estimate(name, xp, d, "k3", kl_clip) * beta
    return case.finish(loss)
