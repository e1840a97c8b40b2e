"""Mixture of tokenizations: a router chooses among encodings of the same node."""

from __future__ import annotations

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import kept
from anymax.primitives._selection import largest
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._operands import check_count, operands, spread

_SHAPES = "scores: ... E, candidates: ... E D -> ... D"


@form(
    shapes=_SHAPES, papers=("2411.15671",), level="module", cost="O(E log E + E D)",
    primitives=("row_softmax",),
)  # fmt: skip
def mixture_of_tokenizations(
    scores: Array, candidates: Array, /, *, k: int = 2, where: Array | None = None
) -> Array:
    r"""Weighted sum of the k encodings that a router scores best.

    .. math:: y = \sum_{e\in K} \mathrm{softmax}_K(s)_e\, z_e, \qquad
        K = \operatorname{arg\,top}_k(s)

    Parameters
    ----------
    scores : array (..., E)
        The router's scores of E encodings.
    candidates : array (..., E, D)
        The encodings.
    k : int
        How many are mixed; 2 is recalled from the paper, not confirmed.
    where : boolean array, broadcastable to `scores`
        True where an encoding can be chosen.

    Returns
    -------
    array (..., D)
        The mixture; 0 where nothing can be chosen.

    Raises
    ------
    TypeError, ValueError
        The shapes don't fit, or `k` is no positive integer.

    Notes
    -----
    Exactly k are chosen, ties going to the lowest index; the others may hold anything, NaN too.
    The choice is a constant for derivatives.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> z = np.asarray([[1.0], [2.0], [np.nan]])
    >>> am.softmaxes.mixture_of_tokenizations(np.log(np.asarray([1.0, 3.0, 0.5])), z)
    array([1.75])

    References
    ----------
    .. [1] A. Behrouz et al., "Best of both worlds: advantages of hybrid graph sequence models",
       arXiv:2411.15671, 2024.
    """
    name = "mixture_of_tokenizations"
    _array.required(name, scores=scores, candidates=candidates)
    k = check_count(name, "k", k)
    ops = operands(name, scores=scores, candidates=candidates)
    xp, (x, z) = ops.xp, ops.arrays
    _array.namespace(name, scores=scores, where=where)
    _shapes.check(name, _SHAPES, {"scores": x, "candidates": z})
    _array.check_mask(name, "where", where, x.shape, "scores")
    keep = spread(xp, kept(xp, x, where), tuple(x.shape))
    a = x.ndim - 1
    chosen = largest(xp, x, keep, k, (a,))
    weight = row_softmax(x, chosen, axis=(a,), scale=1.0)[..., None]
    z = xp.where(chosen[..., None], z, xp.zeros_like(z))
    return ops.finish(xp.sum(weight * z, axis=-2))
