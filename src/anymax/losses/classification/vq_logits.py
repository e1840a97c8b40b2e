"""Cross entropy of an output layer whose tokens share the logits of codes."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import check_class_weight
from anymax.losses._cross_entropy import counted
from anymax.losses._reduction import check_reduction
from anymax.primitives._masked import select
from anymax.primitives.row_cross_entropy import row_cross_entropy
from anymax.softmaxes.structured import _codebook

_NAME = "vq_cross_entropy"


@form(
    shapes="h: ... D, codebook: K D, assignment: V, target: ... -> ",
    papers=("2505.10202",),
    cost="O(n K D + V)",
    primitives=("row_cross_entropy",),
)
def vq_cross_entropy(
    h: Array,
    codebook: Array,
    assignment: Array,
    target: Array,
    /,
    *,
    counts: Array | None = None,
    bias: Array | None = None,
    where: Array | None = None,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    r"""Surprise of the target tokens where tokens share the logits of K codes.

    .. math:: \ell = \log\sum_k n_k\, e^{h \cdot C_k} - h \cdot C_{M(y)} - b_y, \qquad
        n_k = \sum_{M(v) = k} e^{b_v}

    Parameters
    ----------
    h : array (..., D)
        Hidden states.
    codebook : array (K, D)
        C, the vectors of the codes.
    assignment : integer array (V,)
        M, the code of each token, in [0, K).
    target : integer array (...)
        Target tokens, in [0, V).
    counts : array (K,), optional
        The number of tokens of each code, where known; not needed with `bias` or `where`, for
        which the masses n are summed anew.
    bias : array (V,), optional
        b, a term per token; an extension of the paper's form.
    where : boolean array (V,), optional
        True where a token takes part.
    weight : array (V,), optional
        Weights of the tokens as targets, non-negative.
    ignore_index : int
        Examples with this target are left out.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another.
    IndexError
        A code of `assignment` is not in [0, K), a target not in [0, V) (on arrays whose values are
        at hand).

    Notes
    -----
    No array of n V logits is made: the normaliser has K terms, and is exact.  A target that takes
    no part costs +inf.  Within a code the distribution is uniform but for `bias`, so that the loss
    has a floor, the expected :math:`\log n` less the entropy within codes: frequent tokens should
    own a code alone.  There is no derivative by the assignment.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> h, code = np.asarray([[1.0]]), np.log(np.asarray([[1.0], [3.0]]))
    >>> y = am.vq_cross_entropy(h, code, np.asarray([0, 1, 0]), np.asarray([1]))
    >>> round(float(np.exp(-y)), 6)  # of p = (0.2, 0.6, 0.2)
    0.6

    References
    ----------
    .. [1] J. Shao et al., "VQ-Logits: compressing the output bottleneck of large language models
       via vector quantized logits", 2025, arXiv:2505.10202.
    """
    check_reduction(_NAME, reduction)
    _check_target(h, target)
    xp = _array.namespace(_NAME, h=h, target=target, weight=weight)
    c = _codebook.prepare(_NAME, h, codebook, assignment, counts, bias, where)
    num_tokens = assignment.shape[0]
    if weight is not None:
        check_class_weight(_NAME, weight, num_tokens)
        weight = _array.cast(xp, weight, c.z.dtype)
    case = counted(xp, _NAME, target, weight, ignore_index, num_tokens, c.z.dtype)
    if not num_tokens:  # nothing to look a target up in: every row is empty
        nothing = xp.zeros_like(xp.sum(c.z, axis=-1))
        return _array.cast(xp, nothing if reduction == "none" else xp.sum(nothing), c.dtype)
    scale = case.weights(xp.astype(case.target, c.z.dtype))
    code = _array.take(xp, _array.as_index(xp, assignment), case.target)
    loss, lse = row_cross_entropy(
        c.z, code, None, None, scale, label_smoothing=0.0, lse_square_scale=0.0, softcap=None
    )
    rest = -_array.take(xp, _codebook.log_share(c), case.target)
    if c.kept is not None:
        taken = _array.take(xp, xp.astype(c.kept, c.z.dtype), case.target) != 0
        rest = select(xp, taken, rest, xp.inf)
    counts_here = (lse != -xp.inf) & (scale != 0)
    cost = loss + select(xp, counts_here, select(xp, counts_here, rest) * scale)
    return _array.cast(xp, case.reduced(cost, lse, reduction), c.dtype)


def _check_target(h: Array, target: Array) -> None:
    _array.required(_NAME, h=h, target=target)
    if not _array.is_integer(target):
        raise TypeError(
            f"{_NAME}: target has dtype {_array.dtype_name(target)}; tokens, of an integer dtype, "
            "fit"
        )
    if tuple(target.shape) != tuple(h.shape[:-1]):
        raise ValueError(
            f"{_NAME}: target has shape {_array.shape_text(target.shape)}; tokens of the shape of "
            f"h without its last axis, {_array.shape_text(h.shape[:-1])}, fit"
        )
