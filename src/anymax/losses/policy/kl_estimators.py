"""Divergence of two policies, estimated from the tokens that one of them drew."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._elements import elements
from anymax.losses.policy._kl import estimate
from anymax.primitives._masked import select


@form(shapes="logp: ..., ref_logp: ... -> ...", papers=("2402.03300",), cost="O(n)")
def kl_estimate(
    logp: Array,
    ref_logp: Array,
    /,
    *,
    kind: str = "k3",
    clip: tuple[float, float] | None = None,
    straight_through: bool = False,
    where: Array | None = None,
) -> Array:
    r"""Estimate, for each token drawn from a policy, of its divergence from a reference.

    .. math:: k_1 = d,\quad k_2 = \tfrac12 d^2,\quad k_3 = e^{-d} - 1 + d,\qquad
        d = \log\pi - \log\pi_{\text{ref}}

    Parameters
    ----------
    logp : array (...)
        Log-probabilities of tokens under the policy that drew them.
    ref_logp : array (...)
        Those under the reference.
    kind : {"k1", "k2", "k3", "abs"}
        The estimator; "abs" is :math:`|d|`.
    clip : pair of floats, optional
        For k3: bounds on the magnitude of d, and on the result.
    straight_through : bool
        The gradient of :math:`k_2`, with the value of `kind`.
    where : boolean array, broadcastable to (...)
        True where a token takes part; others give 0.

    Returns
    -------
    array (...)
        Estimates: reduce them with :func:`anymax.aggregate_loss`.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, an unknown kind, or `clip` for another than k3.

    Notes
    -----
    k1 and k3 are unbiased estimates of KL(pi | ref); k2 and k3 are never negative.  k3 is computed
    as :math:`\mathrm{expm1}(-d) + d`, which keeps its digits where d is small.  Averaged over
    tokens that are drawn from the policy, the gradient of k1 is 0, that of k3 belongs to the
    divergence the other way round, and that of k2 is the right one: hence `straight_through`.

    ==================  ================================  ==========
    option              verl                              TRL
    ==================  ================================  ==========
    `kind`              "k1" (kl), "abs", "k2" (mse),     "k3"
                        "k3" (low_var_kl)
    `clip`              (20.0, 10.0)                      None
    `straight_through`  names with a plus, "k3+"          none
    ==================  ================================  ==========

    With verl's bounds the gradient is 0 below d = -2.61 and above d = 11.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.kl_estimate(np.log(np.asarray([0.5, 0.5])), np.log(np.asarray([0.5, 0.25])))
    array([0.        , 0.19314718])

    References
    ----------
    .. [1] J. Schulman, "Approximating KL divergence", 2020,
       http://joschu.net/blog/kl-approx.html.
    .. [2] Z. Shao et al., "DeepSeekMath", 2024, equation 4. arXiv:2402.03300.
    """
    name = "kl_estimate"
    _array.required(name, logp=logp, ref_logp=ref_logp)
    given = elements(name, logp=logp, ref_logp=ref_logp, where=where)
    xp, (p, r) = given.xp, given.arrays
    d = p - r
    y = estimate(name, xp, d, kind, clip)
    if straight_through:
        d = select(xp, xp.isfinite(d), d)
        square = 0.5 * d * d
        y = _array.stop_gradient(y) + (square - _array.stop_gradient(square))
    return given.finish(y, "none")
