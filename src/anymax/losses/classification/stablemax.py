"""Cross entropy under stablemax."""

from __future__ import annotations

from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import classes
from anymax.primitives._masked import select
from anymax.primitives.row_weights import row_log_weights


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=("2501.04697",),
    cost="O(n)",
    primitives=("row_log_weights",),
)
def stablemax_cross_entropy(
    logits: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Expected surprise of the target classes under the stablemax of the logits.

    .. math:: \ell_n = \sum_c t_{nc}\Big(\log\sum_j s(x_{nj})-\log s(x_{nc})\Big),\qquad
              \log s(x) = \operatorname{sign}(x)\log(1+|x|)

    Parameters
    ----------
    logits : array (..., C)
        Logits x, the C classes on `axis`; a shift of them matters.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`.

    Notes
    -----
    The gradient is :math:`(p_c-t_c)/(1+|x_c|)`: it fades as a power of the logits and never rounds
    to 0 at once, as that of cross entropy does when the largest logit leads by 17 in float32.  The
    official code computes in float64 whatever it is given, and with "none" returns (N, 1); here the
    dtype and shape rules of the library hold.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.asarray([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    >>> am.stablemax_cross_entropy(logits, np.asarray([0, 2]), reduction="none")
    array([0.55961579, 1.09861229])

    References
    ----------
    .. [1] L. Prieto, M. Barsbey, P. A. M. Mediano, T. Birdal, "Grokking at the Edge of Numerical
       Stability", ICLR 2025, arXiv:2501.04697.
    """
    c = classes(
        "stablemax_cross_entropy", logits, target,
        axis=axis, where=where, weight=weight, reduction=reduction,
    )  # fmt: skip
    last = (c.logits.ndim - 1,)
    y = row_log_weights(c.logits, c.keep, None, axis=last, kind="stable", value=())
    return c.finish(-c.at_target(select(c.xp, c.keep, y)), reduction)
