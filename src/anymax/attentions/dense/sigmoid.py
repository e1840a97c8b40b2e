"""Attention by sigmoids: each key is weighed on its own."""

from __future__ import annotations

import math

from anymax import _array
from anymax._array import Array, required
from anymax._form import form
from anymax.attentions._arguments import SHAPES, Arguments, prepare
from anymax.attentions._by_count import check_count, finished, mapped, per_count


@form(
    shapes=SHAPES,
    papers=("2409.04431",),
    cost="O(L S (D + Dv)) time, O(L D + S D) memory by the kernels",
    primitives=("attend_map",),
)
def sigmoid_attention(
    q: Array,
    k: Array,
    v: Array,
    /,
    *,
    offset: float | Array | None = None,
    length_power: float = 0.0,
    count: str = "visible",
    scale: float | Array | None = None,
    mask: Array | None = None,
    bias: Array | None = None,
    causal: bool | str = False,
    window: tuple[int | None, int | None] | None = None,
    softcap: float | None = None,
    alibi_slopes: Array | None = None,
    lengths: Array | tuple[Array | None, Array | None] | None = None,
) -> Array:
    r"""Sums of the values, each weighted by the sigmoid of its own score.

    .. math::

        o_i = n_i^{-p} \sum_j \sigma(s_{ij} + c)\,v_j,\qquad
        s_{ij} = \alpha\,q_i^\top k_j + \dots

    with the scores s of :func:`anymax.dot_product_attention` (cap, bias, ALiBi in its order) over
    the keys j that query i may attend.

    Parameters
    ----------
    q, k, v : arrays (..., Hq, L, D), (..., Hk, S, D) and (..., Hk, S, Dv)
        As in :func:`anymax.dot_product_attention`.
    offset : float or 0-d array
        c, added to every score.  None is -log S, the paper's choice: all weights together are then
        about 1 at the start of training.  0.0 is the default of the authors' kernel.
    length_power : float
        p, which divides by a power of the number of keys.  0 in the paper's models; their code also
        has 1 ("len") and 0.5 ("sqrt_len").
    count : {"visible", "keys"}
        n is the number of keys that query i sees, or S.
    scale : float or 0-d array
        :math:`\alpha`; 1/sqrt(D) by default.
    mask, bias, causal, window, softcap, alibi_slopes, lengths
        As in :func:`anymax.dot_product_attention`.

    Returns
    -------
    array (..., Hq, L, Dv)
        0 for a query that may attend nothing.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.dot_product_attention`; an unknown `count`.

    Notes
    -----
    No weight depends on another key, so partial results over parts of the keys add, and nothing can
    overflow.  The sigmoid is computed from exp(-abs(s)), so that small weights keep their digits;
    the authors' kernel has a tanh, which loses their digits.  As c goes to minus infinity the
    weights divided by their sum become the softmax.  NaN and inf as in
    :func:`anymax.dot_product_attention`.

    .. math::

        \partial s_{ij} = P_{ij} (1 - P_{ij})\, \partial o_i^\top v_j, \qquad P = \sigma(s + c)

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> v = np.asarray([[1.0], [2.0], [4.0]])
    >>> am.sigmoid_attention(np.zeros((1, 2)), np.zeros((3, 2)), v)
    array([[1.75]])

    References
    ----------
    .. [1] J. Ramapuram et al., "Theory, analysis, and best practices for sigmoid self-attention",
       2025, section 2 and appendix (the bias). arXiv:2409.04431.
    """
    required("sigmoid_attention", q=q, k=k, v=v)
    check_count("sigmoid_attention", count)
    a = prepare(
        "sigmoid_attention", q, k, v, scale=scale, mask=mask, bias=bias, causal=causal,
        window=window, softcap=softcap, sink=None, alibi_slopes=alibi_slopes, lengths=lengths,
    )  # fmt: skip
    shift = 0.0
    if offset is None:
        shift = -math.log(max(k.shape[-2], 1))
    elif _array.is_scalar(offset):
        shift = float(offset)
    else:
        a = _with_offset(a, offset)
    out = mapped(a, "sigmoid", shift=shift)
    return finished(a, per_count(a, out, count, float(length_power)))


def _with_offset(a: Arguments, offset: Array) -> Arguments:
    """An array is added to the bias, where its gradient can be followed."""
    if offset.ndim:
        raise ValueError(
            f"sigmoid_attention: offset has shape {_array.shape_text(offset.shape)}; "
            "a number or a 0-d array fits"
        )
    operands, bias = list(a.operands), a.operands[4]
    offset = _array.cast(a.xp, offset, a.dtype)
    operands[4] = a.xp.reshape(offset, (1, 1)) if bias is None else bias + offset
    return a._replace(operands=tuple(operands))
