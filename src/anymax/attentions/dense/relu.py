"""Attention by ReLUs and their powers: keys below zero get nothing."""

from __future__ import annotations

from anymax._array import Array, required
from anymax._form import form
from anymax.attentions._arguments import SHAPES, prepare
from anymax.attentions._by_count import check_count, finished, mapped, per_count
from anymax.softmaxes._operands import check_count as check_power


@form(
    shapes=SHAPES,
    papers=("2309.08586", "2104.07012", "2202.10447"),
    cost="O(L S (D + Dv)) time, O(L D + S D) memory by the kernels",
    primitives=("attend_map",),
)
def relu_attention(
    q: Array,
    k: Array,
    v: Array,
    /,
    *,
    power: int = 1,
    length_power: float = 1.0,
    count: str = "keys",
    normalize: bool = False,
    inside: bool = False,
    scale: float | Array | None = None,
    mask: Array | None = None,
    bias: Array | None = None,
    causal: bool | str = False,
    window: tuple[int | None, int | None] | None = None,
    softcap: float | None = None,
    alibi_slopes: Array | None = None,
    lengths: Array | tuple[Array | None, Array | None] | None = None,
) -> Array:
    r"""Sums of the values, weighted by powers of the positive parts of the scores.

    .. math::

        o_i = n_i^{-\lambda} \sum_j \max(s_{ij}, 0)^p\,v_j

    with the scores s of :func:`anymax.dot_product_attention`; with `inside`
    :math:`\max(s_{ij} / n_i^\lambda, 0)^p`; with `normalize` divided by the row's sum instead.

    Parameters
    ----------
    q, k, v : arrays (..., Hq, L, D), (..., Hk, S, D) and (..., Hk, S, Dv)
        As in :func:`anymax.dot_product_attention`.
    power : int
        p, at least 1: 1 in vision transformers and ReLA, 2 in Primer and GAU.
    length_power : float
        :math:`\lambda`; 1 works best in [1]_, 0 leaves the sum as it is.
    count : {"keys", "visible"}
        n is S, or the number of keys that query i sees.
    normalize : bool
        Divide each row by the sum of its weights; a row without weight stays 0.
    inside : bool
        Divide before the power, as GAU does.
    scale : float or 0-d array
        :math:`\alpha`; 1/sqrt(D) by default.
    mask, bias, causal, window, softcap, alibi_slopes, lengths
        As in :func:`anymax.dot_product_attention`.

    Returns
    -------
    array (..., Hq, L, Dv)
        0 for a query that may attend nothing, or whose scores are all at most 0.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.dot_product_attention`; a power below 1, an unknown `count`.

    Notes
    -----
    The slope at a score of 0 is 0.  The output is homogeneous of degree p in q and in k, and sums
    over parts of the keys add.  ReLA's RMS norm of the output belongs to the layer.  The form with
    1/n is remembered from [1]_ with confidence, details of GAU's with less.  NaN and inf as in
    :func:`anymax.dot_product_attention`.

    .. math::

        \partial s_{ij} = p\,\max(s_{ij}, 0)^{p-1} n_i^{-\lambda}\; \partial o_i^\top v_j

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> k = np.asarray([[1.0], [2.0], [-5.0]])
    >>> am.relu_attention(np.ones((1, 1)), k, np.asarray([[3.0], [6.0], [1.0]]))
    array([[5.]])

    References
    ----------
    .. [1] M. Wortsman et al., "Replacing softmax with ReLU in vision transformers", 2023, section
       3. arXiv:2309.08586.
    .. [2] B. Zhang et al., "Sparse attention with linear units", 2021. arXiv:2104.07012.
    .. [3] W. Hua et al., "Transformer quality in linear time", 2022. arXiv:2202.10447.
    """
    power = check_power("relu_attention", "power", power)
    required("relu_attention", q=q, k=k, v=v)
    check_count("relu_attention", count)
    a = prepare(
        "relu_attention", q, k, v, scale=scale, mask=mask, bias=bias, causal=causal,
        window=window, softcap=softcap, sink=None, alibi_slopes=alibi_slopes, lengths=lengths,
    )  # fmt: skip
    out = mapped(a, "relu", power=power, normalize=normalize)
    if normalize:
        return finished(a, out)
    times = power if inside else 1
    return finished(a, per_count(a, out, count, float(length_power) * times))
