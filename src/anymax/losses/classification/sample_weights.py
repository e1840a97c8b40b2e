"""Cross entropy of examples that have learnable weights."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import classes
from anymax.losses._reduction import reduced
from anymax.losses.classification._costs import beside, by_example, cross_entropies
from anymax.softmaxes.structured._log_sigmoid import sigmoid


@form(
    shapes="logits: ... C, target: ..., sample_logits: ... -> ",
    papers=("2401.09587",),
    cost="O(n)",
    level="module",
    primitives=("row_cross_entropy",),
)
def sample_weighted_cross_entropy(
    logits: Array,
    target: Array,
    sample_logits: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of examples, each weighted by the sigmoid of a logit of its own.

    .. math:: \frac{1}{N}\sum_n\sigma(\lambda_n)\,\Big(-\sum_c t_{nc}\log p_{nc}\Big)

    Parameters
    ----------
    logits : array (..., C)
        Unnormalised log-probabilities, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities.
    sample_logits : array (...)
        Logits :math:`\lambda` of the examples' weights, differentiated too.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of examples, not by their weights: weights that all shrink
        make the loss smaller.

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
    The lower-level loss of hyper-data cleaning, where the weights are learnt on clean examples.
    The official code adds 1e-4 times the norm of the parameters, which is left to the caller.
    A logit of -inf drops its example's cost.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.log(np.asarray([[0.5, 0.5], [0.25, 0.75]]))
    >>> am.losses.sample_weighted_cross_entropy(
    ...     logits, np.asarray([0, 0]), np.asarray([0.0, 0.0]), reduction="none")
    array([0.34657359, 0.69314718])

    References
    ----------
    .. [1] J. Hao, X. Gong, M. Liu, "Bilevel Optimization under Unbounded Smoothness: A New
       Algorithm and Convergence Analysis", ICLR 2024. arXiv:2401.09587.
    """
    name = "sample_weighted_cross_entropy"
    _array.required(name, sample_logits=sample_logits)
    logits, raw = beside(name, logits, sample_logits=sample_logits)
    c = classes(name, logits, target, axis=axis, where=where, reduction=reduction)
    if tuple(raw.shape) != tuple(c.logits.shape[:-1]):
        raise ValueError(
            f"{name}: sample_logits have shape {_array.shape_text(raw.shape)}; one an example "
            f"fits, {_array.shape_text(c.logits.shape[:-1])}"
        )
    share = sigmoid(c.xp, by_example(name, "sample_logits", raw, c))
    y = reduced(c.xp, cross_entropies(c), reduction, live=c.live, weight=share, by_count=True)
    return _array.cast(c.xp, y, c.dtype)
