"""A policy that first chooses an intent, then an item."""

from __future__ import annotations

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.softmaxes.exponential.mixture import log_mixture_of_softmaxes

_SHAPES = "item_logits: ... K N, option_logits: ... K -> ... N"


@form(
    shapes=_SHAPES, papers=("2306.01476",), cost="O(K N)", level="module",
    primitives=("row_log_softmax",),
)  # fmt: skip
def mixture_policy_log_prob(
    item_logits: Array, option_logits: Array, /, *, where: Array | None = None
) -> Array:
    r"""Log-probability of each item under a policy that chooses an option first.

    .. math:: \log\pi(n) = \log\sum_k \mathrm{softmax}(o)_k\ \mathrm{softmax}(x_k)_n

    Parameters
    ----------
    item_logits : array (..., K, N)
        Logits of N items under each of K options.
    option_logits : array (..., K)
        Logits of the options.
    where : boolean array, broadcastable to (..., N)
        True where an item may be chosen.

    Returns
    -------
    array (..., N)
        Log-probabilities; -inf where masked.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.log_mixture_of_softmaxes`, which this is under another name.

    Notes
    -----
    Read off the paper's abstract: its own equations were not at hand.  The policy gradient is that
    of :func:`anymax.reinforce_loss` on the chosen item's entry.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.log(np.asarray([[1.0, 3.0], [4.0, 1.0]]))
    >>> np.exp(am.losses.mixture_policy_log_prob(x, np.zeros(2)))
    array([0.525, 0.475])

    References
    ----------
    .. [1] P. Li et al., "Hierarchical reinforcement learning for modeling user novelty-seeking
       intent in recommender systems", 2023. arXiv:2306.01476.
    """
    name = "mixture_policy_log_prob"
    _array.required(name, item_logits=item_logits, option_logits=option_logits)
    _array.namespace(name, item_logits=item_logits, option_logits=option_logits, where=where)
    _shapes.check(name, _SHAPES, {"item_logits": item_logits, "option_logits": option_logits})
    return log_mixture_of_softmaxes(item_logits, option_logits, where=where)
