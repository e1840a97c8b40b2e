"""VQ-Logits: an output layer whose V logits take K values, with a normaliser of K terms."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_log_softmax, row_softmax
from anymax.softmaxes.structured import _codebook, _kmeans
from anymax.softmaxes.structured._gather import check_index, columns, rows
from anymax.softmaxes.structured._linear import linear

_PAPER = "2505.10202"


@form(shapes="h: ... D, codebook: K D, assignment: V -> ... V", papers=(_PAPER,), cost="O(K D + V)")
def vq_logits(
    h: Array, codebook: Array, assignment: Array, /, *, bias: Array | None = None
) -> Array:
    r"""Logits of all tokens, each the logit of the token's code.

    .. math:: x_v = h \cdot C_{M(v)} + b_v

    Parameters
    ----------
    h : array (..., D)
        Hidden states.
    codebook : array (K, D)
        C, the vectors of the codes.
    assignment : integer array (V,)
        M, the code of each token, in [0, K).
    bias : array (V,), optional
        b, a term per token; an extension of the paper's form.

    Returns
    -------
    array (..., V)
        Logits.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another.
    IndexError
        A code of `assignment` is not in [0, K).

    Notes
    -----
    Equal to a dense layer with weight ``codebook[assignment]`` at K/V of its products.  Tokens of
    one code are exactly tied without a bias; an argmax takes the lowest.  Probabilities come
    cheaper from :func:`anymax.vq_softmax`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.vq_logits(np.asarray([1.0]), np.asarray([[2.0], [5.0]]), np.asarray([0, 1, 0]))
    array([2., 5., 2.])

    References
    ----------
    .. [1] J. Shao et al., "VQ-Logits: compressing the output bottleneck of large language models
       via vector quantized logits", 2025, arXiv:2505.10202.
    """
    name = "vq_logits"
    xp, h, codebook, bias, dtype = _codebook.arguments(name, h, codebook, assignment, bias)
    x = columns(xp, linear(xp, h, codebook), assignment)
    return _array.cast(xp, x if bias is None else x + bias, dtype)


@form(
    shapes="h: ... D, codebook: K D, assignment: V -> ... V",
    papers=(_PAPER,),
    cost="O(K D + V)",
    primitives=("row_softmax",),
)
def vq_softmax(
    h: Array,
    codebook: Array,
    assignment: Array,
    /,
    *,
    counts: Array | None = None,
    bias: Array | None = None,
    where: Array | None = None,
) -> Array:
    r"""Softmax over tokens that share the logits of K codes.

    .. math:: p_v = P(M(v))\, s_v, \qquad P = \mathrm{softmax}_k(h \cdot C_k + \log n_k), \quad
        n_k = \sum_{M(v) = k} e^{b_v}, \quad s_v = e^{b_v} / n_{M(v)}

    Parameters
    ----------
    h : array (..., D)
        Hidden states.
    codebook : array (K, D)
        C, the vectors of the codes.
    assignment : integer array (V,)
        M, the code of each token, in [0, K).
    counts : array (K,), optional
        The number of tokens of each code, where known; not needed with `bias` or `where`, for
        which the masses n are summed anew.
    bias : array (V,), optional
        b, a term per token; an extension of the paper's form.
    where : boolean array (V,), optional
        True where a token takes part; others get 0.

    Returns
    -------
    array (..., V)
        Probabilities.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another.
    IndexError
        A code of `assignment` is not in [0, K).

    Notes
    -----
    The normaliser has K terms and is exact.  A code without tokens takes no part, whatever its
    vector holds.  Within a code the distribution is uniform but for `bias`, so frequent tokens
    should own a code alone.  The derivative by a code's logit is :math:`P_k` less the probability
    that the cotangent picks; there is none by the assignment.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> h, code = np.asarray([1.0]), np.log(np.asarray([[1.0], [3.0]]))
    >>> am.vq_softmax(h, code, np.asarray([0, 1, 0]))
    array([0.2, 0.6, 0.2])

    References
    ----------
    .. [1] J. Shao et al., "VQ-Logits: compressing the output bottleneck of large language models
       via vector quantized logits", 2025, arXiv:2505.10202.
    """
    c = _codebook.prepare("vq_softmax", h, codebook, assignment, counts, bias, where)
    xp = c.xp
    p = row_softmax(c.z, None, axis=(c.z.ndim - 1,), scale=1.0)
    y = columns(xp, p, assignment) * xp.exp(_codebook.log_share(c))
    if c.kept is not None:
        y = select(xp, c.kept, y)
    return _array.cast(xp, y, c.dtype)


@form(
    shapes="h: ... D, codebook: K D, assignment: V -> ... V",
    papers=(_PAPER,),
    cost="O(K D + V)",
    primitives=("row_log_softmax",),
)
def log_vq_softmax(
    h: Array,
    codebook: Array,
    assignment: Array,
    /,
    *,
    counts: Array | None = None,
    bias: Array | None = None,
    where: Array | None = None,
) -> Array:
    r"""Log-probabilities of tokens that share the logits of K codes.

    .. math:: \log p_v = h \cdot C_{M(v)} + b_v - \log\sum_k n_k\, e^{h \cdot C_k}, \qquad
        n_k = \sum_{M(v) = k} e^{b_v}

    Parameters
    ----------
    h : array (..., D)
        Hidden states.
    codebook : array (K, D)
        C, the vectors of the codes.
    assignment : integer array (V,)
        M, the code of each token, in [0, K).
    counts : array (K,), optional
        The number of tokens of each code, where known; not needed with `bias` or `where`.
    bias : array (V,), optional
        b, a term per token; an extension of the paper's form.
    where : boolean array (V,), optional
        True where a token takes part; others get -inf.

    Returns
    -------
    array (..., V)
        Log-probabilities; their exponentials sum to one.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.vq_softmax`.

    Notes
    -----
    As :func:`anymax.vq_softmax`.  For a label alone, take
    :func:`anymax.softmaxes.vq_code_log_softmax` at its code less the logarithm of the code's count:
    that needs no array of V.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> h, code = np.asarray([1.0]), np.log(np.asarray([[1.0], [3.0]]))
    >>> np.exp(am.log_vq_softmax(h, code, np.asarray([0, 1, 0])))
    array([0.2, 0.6, 0.2])

    References
    ----------
    .. [1] J. Shao et al., "VQ-Logits: compressing the output bottleneck of large language models
       via vector quantized logits", 2025, arXiv:2505.10202.
    """
    c = _codebook.prepare("log_vq_softmax", h, codebook, assignment, counts, bias, where)
    xp = c.xp
    log_p = row_log_softmax(c.z, None, axis=(c.z.ndim - 1,), scale=1.0)
    y = columns(xp, log_p, assignment) + _codebook.log_share(c)
    if c.kept is not None:
        y = select(xp, c.kept, y, -xp.inf)
    return _array.cast(xp, y, c.dtype)


@form(
    shapes="h: ... D, codebook: K D, assignment: V -> ... K",
    papers=(_PAPER,),
    cost="O(K D), with counts",
    level="module",
    primitives=("row_log_softmax",),
)
def vq_code_log_softmax(
    h: Array,
    codebook: Array,
    assignment: Array,
    /,
    *,
    counts: Array | None = None,
    bias: Array | None = None,
    where: Array | None = None,
) -> Array:
    r"""Log-probabilities of the codes: of all tokens of each code together.

    .. math:: \log P_k = h \cdot C_k + \log n_k - \log\sum_{k'} n_{k'}\, e^{h \cdot C_{k'}},
        \qquad n_k = \sum_{M(v) = k} e^{b_v}

    Parameters
    ----------
    h : array (..., D)
        Hidden states.
    codebook : array (K, D)
        C, the vectors of the codes.
    assignment : integer array (V,)
        M, the code of each token, in [0, K).
    counts : array (K,), optional
        The number of tokens of each code, where known; then nothing of size V is read.
    bias : array (V,), optional
        b, a term per token; an extension of the paper's form.
    where : boolean array (V,), optional
        True where a token takes part.

    Returns
    -------
    array (..., K)
        Log-probabilities of the codes, -inf for a code without tokens.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.vq_softmax`.

    Notes
    -----
    A token's log-probability is its code's, less :math:`\log n_k`, plus its bias: O(K D) a row
    where the full softmax takes O(V D).

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> h, code = np.asarray([1.0]), np.log(np.asarray([[1.0], [3.0]]))
    >>> np.exp(am.softmaxes.vq_code_log_softmax(h, code, np.asarray([0, 1, 0])))
    array([0.4, 0.6])

    References
    ----------
    .. [1] J. Shao et al., "VQ-Logits: compressing the output bottleneck of large language models
       via vector quantized logits", 2025, arXiv:2505.10202.
    """
    name = "vq_code_log_softmax"
    c = _codebook.prepare(name, h, codebook, assignment, counts, bias, where, tokens=False)
    log_p = row_log_softmax(c.z, None, axis=(c.z.ndim - 1,), scale=1.0)
    return _array.cast(c.xp, log_p, c.dtype)


@form(shapes="w: V D, codebook: K D -> V", papers=(_PAPER,), cost="O(V K D)", level="module")
def assign_codes(w: Array, codebook: Array, /) -> Array:
    r"""Nearest code of each row, in Euclidean distance.

    .. math:: M(v) = \arg\min_k \lVert w_v - C_k \rVert^2

    Parameters
    ----------
    w : array (V, D)
        Rows, e.g. of the output matrix that is compressed.
    codebook : array (K, D)
        C, the vectors of the codes.

    Returns
    -------
    integer array (V,)
        Codes in [0, K), the lowest of equals.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another, or a codebook without codes.

    Notes
    -----
    Distances are compared without the term that all codes share, in blocks, so that no array of
    V x K is stored.  A code that holds NaN is never the nearest; a row that holds NaN gets code 0.
    Nothing is differentiated.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> w = np.asarray([[0.0], [3.0], [2.0]])
    >>> am.softmaxes.assign_codes(w, np.asarray([[0.0], [4.0]])).tolist()
    [0, 1, 0]

    References
    ----------
    .. [1] J. Shao et al., "VQ-Logits: compressing the output bottleneck of large language models
       via vector quantized logits", 2025, arXiv:2505.10202.
    """
    xp, w, codebook, _ = _rows_and_codes("assign_codes", w, codebook)
    return _kmeans.nearest(xp, w, codebook)[0]


@form(
    shapes="w: V D, init: K D -> K D, V", papers=(_PAPER,), cost="O(V K D) an iteration",
    level="module",
)  # fmt: skip
def kmeans_codebook(w: Array, init: Array, /, *, num_iters: int = 25) -> tuple[Array, Array]:
    r"""Codebook of the rows of a matrix by Lloyd's iterations.

    .. math:: C_k \leftarrow \frac{1}{n_k} \sum_{M(v) = k} w_v, \qquad
        M(v) = \arg\min_k \lVert w_v - C_k \rVert^2

    Parameters
    ----------
    w : array (V, D)
        Rows, e.g. of the output matrix that is compressed.
    init : integer array (K,) or floating array (K, D)
        Rows to begin with, by number, or the codes themselves.
    num_iters : int
        Number of updates.

    Returns
    -------
    codebook : array (K, D)
        The codes.
    assignment : integer array (V,)
        The nearest code of each row.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another, no row or code at all, or a negative `num_iters`.
    IndexError
        `init` names a row that `w` has not.

    Notes
    -----
    A code that lost its rows begins anew at the row that fits worst, several at the next worst.
    The paper's own recipe is not known in detail; this is the post-hoc one that others use.
    Nothing is differentiated.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> w = np.asarray([[0.0], [1.0], [8.0], [10.0]])
    >>> codebook, codes = am.softmaxes.kmeans_codebook(w, np.asarray([0, 1]))
    >>> codebook.tolist(), codes.tolist()
    ([[0.5], [9.0]], [0, 0, 1, 1])

    References
    ----------
    .. [1] S. P. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory
       28(2), 1982.
    .. [2] J. Shao et al., "VQ-Logits: compressing the output bottleneck of large language models
       via vector quantized logits", 2025, arXiv:2505.10202.
    """
    name = "kmeans_codebook"
    _array.required(name, w=w, init=init)
    if isinstance(num_iters, bool) or not hasattr(num_iters, "__index__") or num_iters < 0:
        raise ValueError(f"{name}: num_iters is {num_iters!r}; an int of at least 0 fits")
    if _array.is_integer(init) and init.ndim == 1:
        xp = _array.namespace(name, w=w, init=init)
        _shapes.check(name, "w: V D -> V", {"w": w})
        check_index(xp, name, "init", init, w.shape[0], "rows")
        init = rows(xp, w, init)
    xp, wide, codebook, dtype = _rows_and_codes(name, w, init)
    if not wide.shape[0]:
        raise ValueError(f"{name}: w has no rows, shape {_array.shape_text(w.shape)}")
    codebook, codes = _kmeans.lloyd(xp, wide, codebook, num_iters)
    return xp.astype(codebook, dtype, copy=True), codes


def _rows_and_codes(name: str, w: Array, codebook: Array) -> tuple[Any, Array, Array, Any]:
    """Namespace, both as widened constants, and their dtype."""
    _array.required(name, w=w, codebook=codebook)
    xp = _array.namespace(name, w=w, codebook=codebook)
    _shapes.check(name, "w: V D, codebook: K D -> V", {"w": w, "codebook": codebook})
    if not codebook.shape[0]:
        raise ValueError(
            f"{name}: codebook has no codes, shape {_array.shape_text(codebook.shape)}"
        )
    w, codebook = _array.promote(xp, name, w=w, codebook=codebook)
    dtype = w.dtype
    w, codebook = (_array.widen(xp, _array.stop_gradient(x)) for x in (w, codebook))
    return xp, w, codebook, dtype
