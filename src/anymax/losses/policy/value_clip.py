"""Loss of a value function that may not move far in one step."""

from __future__ import annotations

from anymax._array import Array
from anymax._form import form
from anymax.losses.policy._tokens import check_bound, clipped, tokens


@form(
    shapes="value: ... T, old_value: ... T, target: ... T -> ", papers=("2005.12729",), cost="O(n)"
)
def value_clip_loss(
    value: Array,
    old_value: Array,
    target: Array,
    /,
    *,
    clip: float = 0.2,
    where: Array | None = None,
    reduction: str = "mean",
    length: float | None = None,
) -> Array:
    r"""Half the larger squared error of a value and of the value clipped around its old self.

    .. math:: \ell_t = \tfrac12\max\big((v_t - R_t)^2,\
        (\mathrm{clip}(v_t, v^{\text{old}}_t - \epsilon, v^{\text{old}}_t + \epsilon) - R_t)^2\big)

    Parameters
    ----------
    value : array (..., T)
        Values v.
    old_value : array (..., T)
        Values when the data were drawn; a constant.
    target : array (..., T)
        Returns R; a constant.
    clip : float
        :math:`\epsilon`; 0.2 as PPO's, 0.5 in verl.  Infinity clips nothing.
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
    The gradient is v - R, or 0 where the clipped error is the larger one: no incentive to leave the
    neighbourhood of the old value.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> v, old, target = np.asarray([[1.0]]), np.asarray([[0.0]]), np.asarray([[2.0]])
    >>> round(float(am.value_clip_loss(v, old, target)), 12)
    1.62

    References
    ----------
    .. [1] L. Engstrom et al., "Implementation matters in deep policy gradients: a case study on PPO
       and TRPO", 2020, section 3. arXiv:2005.12729.
    """
    name = "value_clip_loss"
    case = tokens(
        name, value=value, old_value=old_value, target=target, where=where, reduction=reduction,
        length=length,
    )  # fmt: skip
    xp, (value, old, target) = case.xp, case.arrays
    bound = check_bound(name, "clip", clip)
    free = value - target
    near = clipped(xp, value, old - bound, old + bound) - target
    free, near = free * free, near * near
    return case.finish(0.5 * xp.where(free >= near, free, near))
