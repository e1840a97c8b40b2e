"""Scaled dot-product attention with every option that changes its scores."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array, required
from anymax._form import form
from anymax.attentions._arguments import SHAPES, prepare
from anymax.primitives.attend import attend, weights


@form(
    shapes=SHAPES,
    papers=("1706.03762", "2305.13245", "2108.12409", "2408.00118", "2309.17453"),
    cost="O(L S (D + Dv)) time, O(L D + S D) memory by the kernels",
    primitives=("attend",),
    quiet=False,
)
def dot_product_attention(
    q: Array,
    k: Array,
    v: Array,
    /,
    *,
    scale: float | Array | None = None,
    mask: Array | None = None,
    bias: Array | None = None,
    causal: bool | str = False,
    window: tuple[int | None, int | None] | None = None,
    softcap: float | None = None,
    sink: float | Array | None = None,
    alibi_slopes: Array | None = None,
    lengths: Array | tuple[Array | None, Array | None] | None = None,
    return_lse: bool = False,
    log_decay: Array | None = None,
) -> Array | tuple[Array, Array]:
    r"""Averages of the values, weighted by the softmax of scaled products of queries and keys.

    .. math::

        o_i = \frac{\sum_j e^{s_{ij}}\,v_j}{e^{t} + \sum_j e^{s_{ij}}},\qquad
        s_{ij} = \kappa\tanh\!\big(\alpha\,q_i^\top k_j/\kappa\big) + b_{ij}
                 - m\,|i + o - j|

    over the keys j that query i may attend; :math:`\alpha` is the scale, :math:`\kappa` the
    cap, b the bias, m the ALiBi slope, t the sink (absent: no term), o the offset that aligns the
    positions.

    Parameters
    ----------
    q : array (..., Hq, L, D)
        Queries; a 2-D array has no heads.
    k : array (..., Hk, S, D)
        Keys; Hq must be a multiple of Hk, and query head h uses key head h // (Hq / Hk).
    v : array (..., Hk, S, Dv)
        Values.  The batch axes of q, k and v broadcast.
    scale : float or 0-d array
        :math:`\alpha`; 1/sqrt(D) by default.
    mask : boolean array, broadcastable to (..., Hq, L, S)
        True = attend.
    bias : array, broadcastable to (..., Hq, L, S)
        Added to the scores after the cap; -inf masks.
    causal : bool or "upper_left"
        True: query i sees keys j <= i + o, with the last (valid) query at the last (valid) key.
        "upper_left" puts the first query at the first key, as torch's ``is_causal``.
    window : (left, right)
        Query i sees keys from i + o - left to i + o + right; None is no limit.
    softcap : float
        :math:`\kappa > 0`, applied before the bias and the mask.
    sink : float or array (..., Hq)
        A logit of each head that takes weight and gives nothing.
    alibi_slopes : array (..., Hq)
        Slopes of the linear distance penalty.
    lengths : integer array (...), or a pair of them
        Valid keys of each batch entry, or (queries, keys); the rest is padding.
    return_lse : bool
        Return the logarithm of each query's denominator too.
    log_decay : array (..., Hq, S)
        Logarithms of forget gates: their sum over the keys after j up to the query's position is
        added to the score.  Needs L <= S, and is meant for causal attention.

    Returns
    -------
    out : array (..., Hq, L, Dv)
        0 for a query that may attend nothing, and for padded queries.
    lse : array (..., Hq, L)
        With `return_lse`: the sink included, -inf for a query that may attend nothing.

    Raises
    ------
    TypeError
        Arrays of different libraries, a mask that is not boolean, lengths that are no integers.
    ValueError
        Shapes that do not fit one another, or an option outside its range.

    Notes
    -----
    Masked keys, whatever they hold, leak into nothing, neither value nor gradient.  NaN or inf in a
    row of k or v gives NaN to exactly the queries that attend it; such queries carry no gradient,
    and a non-finite incoming cotangent may spread.  float64 is computed in float64 throughout.  The
    kernels never form the L x S scores and recompute them in the backward pass; `log_decay` and a
    full bias are arrays of that size by themselves.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> q = k = np.eye(3)[None]
    >>> v = np.asarray([[[1.0], [2.0], [4.0]]])
    >>> am.dot_product_attention(q, k, v, causal=True, scale=0.0)[0, :, 0]
    array([1.        , 1.5       , 2.33333333])

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", 2017, section 3.2.1. arXiv:1706.03762.
    .. [2] J. Ainslie et al., "GQA", 2023 (grouped queries). arXiv:2305.13245.
    .. [3] O. Press et al., "Train short, test long", 2022, section 3 (ALiBi). arXiv:2108.12409.
    .. [4] Gemma Team, "Gemma 2", 2024, section 2 (soft-capping). arXiv:2408.00118.
    .. [5] G. Xiao et al., "Efficient streaming language models with attention sinks", 2023.
       arXiv:2309.17453.
    """
    required("dot_product_attention", q=q, k=k, v=v)
    a = prepare(
        "dot_product_attention", q, k, v, scale=scale, mask=mask, bias=bias, causal=causal,
        window=window, softcap=softcap, sink=sink, alibi_slopes=alibi_slopes, lengths=lengths,
        log_decay=log_decay,
    )  # fmt: skip
    out, lse = attend(*a.operands, **a.options)
    if a.headless:
        out, lse = out[0, ...], lse[0, ...]
    return (out, a.xp.astype(lse, a.dtype)) if return_lse else out


@form(
    shapes="q: ... [Hq] L D, k: ... [Hk] S D -> ... [Hq] L S",
    papers=("1706.03762",),
    cost="O(L S D) time, O(L S) memory",
)
def attention_weights(
    q: Array,
    k: Array,
    /,
    *,
    scale: float | Array | None = None,
    mask: Array | None = None,
    bias: Array | None = None,
    causal: bool | str = False,
    window: tuple[int | None, int | None] | None = None,
    softcap: float | None = None,
    sink: float | Array | None = None,
    alibi_slopes: Array | None = None,
    lengths: Array | tuple[Array | None, Array | None] | None = None,
) -> Array:
    r"""The weights that dot-product attention gives each key, as an array to look at.

    .. math:: p_{ij} = \frac{e^{s_{ij}}}{e^{t} + \sum_l e^{s_{il}}}

    with the scores s and the sink t of :func:`anymax.dot_product_attention`.

    Parameters
    ----------
    q, k : arrays (..., Hq, L, D) and (..., Hk, S, D)
        Queries and keys, as in :func:`anymax.dot_product_attention`.
    scale, mask, bias, causal, window, softcap, sink, alibi_slopes, lengths
        As in :func:`anymax.dot_product_attention`.

    Returns
    -------
    array (..., Hq, L, S)
        Rows sum to one, to less than one with a sink, to zero where nothing may be attended.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.dot_product_attention`.

    Notes
    -----
    :func:`anymax.dot_product_attention` itself never forms this array.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.attention_weights(np.eye(2), np.eye(2), scale=np.log(3.0))
    array([[0.75, 0.25],
           [0.25, 0.75]])

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", 2017, section 3.2.1. arXiv:1706.03762.
    """
    a = prepare(
        "attention_weights", q, k, None, scale=scale, mask=mask, bias=bias, causal=causal,
        window=window, softcap=softcap, sink=sink, alibi_slopes=alibi_slopes, lengths=lengths,
    )  # fmt: skip
    q, k, _, *rest = (_array.widen(a.xp, x) for x in a.operands)
    p = _array.cast(a.xp, weights(a.xp, q, k, *rest, **a.options), a.dtype)
    return p[0, ...] if a.headless else p
