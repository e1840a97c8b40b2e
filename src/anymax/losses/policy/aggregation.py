"""How losses of tokens become one number."""

from __future__ import annotations

from anymax._array import Array
from anymax._form import form
from anymax.losses.policy._tokens import tokens


@form(
    shapes="loss: ... T -> ",
    papers=("2402.03300", "2503.20783", "2503.14476"),
    cost="O(n)",
)
def aggregate_loss(
    loss: Array,
    /,
    *,
    where: Array | None = None,
    reduction: str = "mean",
    length: float | None = None,
    empty: str = "drop",
) -> Array:
    r"""Losses of tokens, averaged over tokens, over sequences, or over both in turn.

    .. math:: \frac{\sum_{bt} m_{bt}\ell_{bt}}{\sum_{bt} m_{bt}}\qquad\text{or}\qquad
        \frac1{B}\sum_b \sum_t m_{bt}\ell_{bt}
        \Big/\big(1,\ L\ \text{or}\ \textstyle\sum_t m_{bt}\big)

    Parameters
    ----------
    loss : array (..., T)
        Losses of T tokens of each sequence.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.
    reduction : str
        "mean" (over all tokens), "sum" or "none"; or a mean over sequences of their sums
        ("seq-mean-token-sum"), of their sums divided by a length ("seq-mean-token-sum-norm"), or of
        their means ("seq-mean-token-mean").
    length : float, optional
        L, what "seq-mean-token-sum-norm" divides by; T by default.
    empty : {"drop", "keep"}
        Whether a mean over sequences counts those without a token.

    Returns
    -------
    array () or (..., T)
        A scalar, or the masked losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        `where` is not boolean, an unknown reduction, a length that it doesn't use, or no axis.

    Notes
    -----
    Every policy loss here takes the same `reduction`, `where` and `length`.

    =========================  ==========================  =====================================
    reduction                  verl ``loss_agg_mode``      TRL ``loss_type``
    =========================  ==========================  =====================================
    "mean"                     "token-mean"                "bnpo"; "dapo" counts tokens globally
    "seq-mean-token-mean"      the same                    "grpo" with ``empty="keep"``
    "seq-mean-token-sum-norm"  the same                    "dr_grpo" with ``empty="keep"`` and
                                                           its completion length
    "seq-mean-token-sum"       the same                    none
    =========================  ==========================  =====================================

    verl averages over sequences that have a token, TRL over all.  A batch without a token is 0 here
    and in TRL, NaN in verl.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> loss = np.asarray([[1.0, 3.0], [5.0, 7.0]])
    >>> where = np.asarray([[True, True], [True, False]])
    >>> float(am.aggregate_loss(loss, where=where))
    3.0
    >>> float(am.aggregate_loss(loss, where=where, reduction="seq-mean-token-mean"))
    3.5

    References
    ----------
    .. [1] Z. Shao et al., "DeepSeekMath", 2024, equation 3. arXiv:2402.03300.
    .. [2] Z. Liu et al., "Understanding R1-zero-like training", 2025, section 3 (Dr. GRPO).
       arXiv:2503.20783.
    .. [3] Q. Yu et al., "DAPO", 2025, section 3.3. arXiv:2503.14476.
    """
    case = tokens(
        "aggregate_loss", loss=loss, where=where, reduction=reduction, length=length, empty=empty
    )
    return case.finish(case.arrays[0] * 1.0)  # a copy: results alias no argument
