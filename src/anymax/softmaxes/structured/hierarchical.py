"""Hierarchical softmax: a binary tree of sigmoids, or classes and the words in them."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_log_softmax
from anymax.softmaxes.structured import _huffman
from anymax.softmaxes.structured._gather import check_index, columns, rows
from anymax.softmaxes.structured._linear import linear
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid
from anymax.softmaxes.structured._segments import group_log_softmax, groups, sizes

Tree = tuple[Array, Array, Array]


@form(shapes="counts: V -> V L, V L, V", cost="O(V log V)", level="module")
def huffman_tree(counts: Array, /) -> Tree:
    r"""Huffman's binary tree of words by their frequency, the one that word2vec builds.

    .. math:: \min_{\text{trees}} \sum_v c_v\, L_v, \qquad \sum_v 2^{-L_v} = 1

    Parameters
    ----------
    counts : array (V,)
        Frequencies, not negative; in any order, descending in word2vec.

    Returns
    -------
    codes : int8 array (V, L)
        Turn at each node on the way from the root to a word; 0 behind its end.
    points : int32 array (V, L)
        Rows of these nodes, the root being V - 2; 0 behind the end.
    lengths : int32 array (V,)
        Number of turns of each word.

    Raises
    ------
    TypeError
        `counts` is no real array, or its values cannot be looked at (traced or lazy).
    ValueError
        `counts` is not one-dimensional, is empty, or has a negative or non-finite entry.

    Notes
    -----
    Two queues: words by ascending count and inner nodes by age; of equals the inner node is taken
    first, and the second of two merged nodes gets code 1, as in word2vec.c.  One word makes a tree
    without nodes, and has probability 1.  The tree is built on the host, once; equal frequencies
    need no more than ceil(log2 V) turns, and the mean length is at most the entropy plus one.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> codes, points, lengths = am.softmaxes.huffman_tree(np.asarray([5, 2, 1]))
    >>> lengths.tolist(), codes.tolist(), points.tolist()
    ([1, 2, 2], [[1, 0], [0, 1], [0, 0]], [[1, 0], [1, 0], [1, 0]])

    References
    ----------
    .. [1] D. A. Huffman, "A method for the construction of minimum-redundancy codes", Proceedings
       of the IRE 40(9), 1952.
    .. [2] T. Mikolov et al., "Distributed representations of words and phrases and their
       compositionality", NeurIPS 2013, arXiv:1310.4546; word2vec.c, CreateBinaryTree.
    """
    name = "huffman_tree"
    _array.required(name, counts=counts)
    xp = _array.namespace(name, counts=counts)
    _shapes.check(name, "counts: V -> V L, V L, V", {"counts": counts})
    (given,) = _array.promote(xp, name, counts=counts)
    if not _array.values_known(counts):
        raise TypeError(f"{name}: counts is traced or lazy; an array with known values fits")
    if not given.shape[0] or not bool(xp.all(xp.isfinite(given) & (given >= 0))):
        raise ValueError(f"{name}: counts must be one or more finite numbers, none negative")
    device = _array.device(counts)
    exact = counts.tolist() if hasattr(counts, "tolist") else [float(c) for c in xp.unstack(given)]
    found = _huffman.tree(exact)
    dtypes = (xp.int8, xp.int32, xp.int32)
    return tuple(xp.asarray(x, dtype=dtype, device=device) for x, dtype in zip(found, dtypes))


@form(
    shapes="h: ... D, target: ..., node_w: M D -> ...",
    papers=("1310.4546",),
    cost="O(D L), L = log2 V turns",
)
def hierarchical_log_prob(
    h: Array, target: Array, node_w: Array, tree: Tree, /, *, positive_code: int = 0
) -> Array:
    r"""Log-probability of one word: the sum of the log-sigmoids of its turns in a binary tree.

    .. math:: \log p(w \mid h) = \sum_{i<L_w} \log\sigma\big((1 - 2 c_{w,i})\, h \cdot
        v_{n(w,i)}\big)

    Parameters
    ----------
    h : array (..., D)
        Hidden states.
    target : integer array (...)
        Words in [0, V).
    node_w : array (V - 1, D)
        Vectors v of the inner nodes.
    tree : tuple of integer arrays (V, L), (V, L), (V,)
        Codes c, points n and lengths, e.g. of :func:`anymax.softmaxes.huffman_tree`.
    positive_code : {0, 1}
        The code whose probability is :math:`\sigma(+h \cdot v)`: 0 in word2vec, 1 in fastText.

    Returns
    -------
    array (...)
        Log-probabilities; minus their mean is the loss.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another; `positive_code` is neither 0 nor 1.
    IndexError
        A target is no word of the tree.

    Notes
    -----
    Only the path is read: O(D L) an example against O(D V) of the full softmax, with about log2 V
    turns.  What lies behind the end of a path is never used, NaN included.  word2vec skips turns
    with a score beyond 6, an artefact of its table that is not reproduced.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> tree = am.softmaxes.huffman_tree(np.asarray([5, 2, 1]))
    >>> h, v = np.asarray([1.0]), np.asarray([[np.log(3.0)], [0.0]])
    >>> np.exp([am.hierarchical_log_prob(h, np.asarray(w), v, tree) for w in range(3)])
    array([0.5  , 0.125, 0.375])

    References
    ----------
    .. [1] F. Morin, Y. Bengio, "Hierarchical probabilistic neural network language model", AISTATS
       2005.
    .. [2] T. Mikolov et al., "Distributed representations of words and phrases and their
       compositionality", NeurIPS 2013, arXiv:1310.4546, section 2.1.
    """
    name = "hierarchical_log_prob"
    xp, h, node_w, tree = _tree_arguments(name, h, node_w, tree, positive_code)
    codes, points, lengths = tree
    _array.required(name, target=target)
    check_index(xp, name, "target", target, codes.shape[0], "words")
    if tuple(target.shape) != tuple(h.shape[:-1]):
        raise ValueError(
            f"{name}: target has shape {_array.shape_text(target.shape)} but h has shape "
            f"{_array.shape_text(h.shape)}; target needs {_array.shape_text(h.shape[:-1])}"
        )
    dtype = h.dtype
    h, node_w = _array.widen(xp, h), _array.widen(xp, node_w)
    on_path = _array.arange(xp, codes.shape[1], codes) < rows(xp, lengths, target)[..., None]
    path = rows(xp, points, target)
    check_index(xp, name, "points of the tree", path, node_w.shape[0], "nodes")
    w = rows(xp, node_w, path)
    w = xp.where(on_path[..., None], w, xp.zeros_like(w))
    score = xp.matmul(w, h[..., None])[..., 0]
    flip = rows(xp, codes, target) != positive_code
    none = xp.zeros_like(score)
    turns = log_sigmoid(xp, xp.where(on_path, xp.where(flip, -score, score), none))
    log_p = xp.sum(xp.where(on_path, turns, none), axis=-1)
    return _array.cast(xp, log_p, dtype)


@form(shapes="h: ... D, node_w: M D -> ... V", papers=("1310.4546",), cost="O(D V + V L)")
def hierarchical_log_softmax(
    h: Array, node_w: Array, tree: Tree, /, *, positive_code: int = 0
) -> Array:
    r"""Log-probabilities of all words of a binary tree of sigmoids.

    .. math:: \log p(w \mid h) = \sum_{i<L_w} \log\sigma\big((1 - 2 c_{w,i})\, h \cdot
        v_{n(w,i)}\big)

    Parameters
    ----------
    h : array (..., D)
        Hidden states.
    node_w : array (V - 1, D)
        Vectors of the inner nodes.
    tree : tuple of integer arrays (V, L), (V, L), (V,)
        Codes, points and lengths, e.g. of :func:`anymax.softmaxes.huffman_tree`.
    positive_code : {0, 1}
        The code whose probability is :math:`\sigma(+h \cdot v)`: 0 in word2vec, 1 in fastText.

    Returns
    -------
    array (..., V)
        Log-probabilities; their exponentials sum to one whatever the node vectors.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another; `positive_code` is neither 0 nor 1.

    Notes
    -----
    Each node is scored once, both its turns' logarithms are taken once, and the L turns of every
    word are added up depth by depth, so memory stays O(V) a row.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> tree = am.softmaxes.huffman_tree(np.asarray([5, 2, 1]))
    >>> h, v = np.asarray([1.0]), np.asarray([[np.log(3.0)], [0.0]])
    >>> np.exp(am.hierarchical_log_softmax(h, v, tree))
    array([0.5  , 0.125, 0.375])

    References
    ----------
    .. [1] T. Mikolov et al., "Distributed representations of words and phrases and their
       compositionality", NeurIPS 2013, arXiv:1310.4546, section 2.1.
    """
    name = "hierarchical_log_softmax"
    xp, h, node_w, tree = _tree_arguments(name, h, node_w, tree, positive_code)
    codes, points, lengths = tree
    dtype, num_nodes = h.dtype, node_w.shape[0]
    check_index(xp, name, "points of the tree", points, num_nodes, "nodes")
    score = linear(xp, _array.widen(xp, h), _array.widen(xp, node_w))
    turns = xp.concat([log_sigmoid(xp, score), log_sigmoid(xp, -score)], axis=-1)
    points = _array.as_index(xp, points)
    index = xp.where(codes != positive_code, points + num_nodes, points)
    shape = (*score.shape[:-1], codes.shape[0])
    log_p = xp.zeros(shape, dtype=score.dtype, device=_array.device(score))
    for depth in range(codes.shape[1]):
        term = columns(xp, turns, index[:, depth])
        log_p = log_p + xp.where(lengths > depth, term, xp.zeros_like(term))
    return _array.cast(xp, log_p, dtype)


def _tree_arguments(name: str, h: Array, node_w: Array, tree: Any, positive_code: Any) -> tuple:
    """Namespace, promoted arrays and the checked tree."""
    if not isinstance(tree, (tuple, list)) or len(tree) != 3:
        raise TypeError(f"{name}: tree is a {type(tree).__name__}; (codes, points, lengths) fits")
    if positive_code not in (0, 1):
        raise ValueError(f"{name}: positive_code is {positive_code!r}; 0 or 1 fits")
    codes, points, lengths = tree
    _array.required(name, h=h, node_w=node_w, codes=codes, points=points, lengths=lengths)
    xp = _array.namespace(name, h=h, node_w=node_w, codes=codes, points=points, lengths=lengths)
    h, node_w = _array.promote(xp, name, h=h, node_w=node_w)
    text = "h: ... D, node_w: M D, codes: V L, points: V L, lengths: V -> ..."
    arrays = {"h": h, "node_w": node_w, "codes": codes, "points": points, "lengths": lengths}
    sizes_ = _shapes.check(name, text, arrays)
    if sizes_["M"] + 1 != sizes_["V"]:
        raise ValueError(
            f"{name}: node_w has {sizes_['M']} rows but the tree has {sizes_['V']} words; "
            f"{sizes_['V'] - 1} rows, one an inner node, fit"
        )
    return xp, h, node_w, (codes, points, lengths)


@form(
    shapes="h: ... D, class_w: K D, word_w: V D, class_of: V -> ... V",
    cost="O(D (K + V) + V log V)",
    primitives=("row_log_softmax",),
)
def two_level_log_softmax(
    h: Array,
    class_w: Array,
    word_w: Array,
    class_of: Array,
    /,
    *,
    class_bias: Array | None = None,
    word_bias: Array | None = None,
) -> Array:
    r"""Log-probabilities of words: that of the word's class plus that of the word within it.

    .. math:: \log p(w \mid h) = \log\mathrm{softmax}(W_c h)_{c(w)} + \log
        \frac{e^{u_w \cdot h}}{\sum_{w' \in c(w)} e^{u_{w'} \cdot h}}

    Parameters
    ----------
    h : array (..., D)
        Hidden states.
    class_w : array (K, D)
        W_c, a vector per class.
    word_w : array (V, D)
        u, a vector per word.
    class_of : integer array (V,)
        The class of each word, in [0, K).
    class_bias : array (K,), optional
        Added to the logits of the classes.
    word_bias : array (V,), optional
        Added to the logits of the words.

    Returns
    -------
    array (..., V)
        Log-probabilities; their exponentials sum to one.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another.
    IndexError
        A class of `class_of` is not in [0, K).

    Notes
    -----
    Classes without words take no part, a class of one word is that word.  A logit of -inf is
    masked; a class whose words are all masked keeps its own share, which is then lost.  The words
    of a class need not be neighbours: their normalisers come from a sort and a segmented sum.  For
    one target, K = sqrt(V) classes of equal size cost O(D sqrt(V)).  Dask, which sorts nothing
    lazily, compares every word with every class.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> h = np.asarray([1.0])
    >>> class_w = np.log(np.asarray([[1.0], [3.0]]))
    >>> word_w = np.log(np.asarray([[1.0], [7.0], [4.0]]))
    >>> np.exp(am.two_level_log_softmax(h, class_w, word_w, np.asarray([1, 0, 1])))
    array([0.15, 0.25, 0.6 ])

    References
    ----------
    .. [1] J. Goodman, "Classes for fast maximum entropy training", ICASSP 2001,
       arXiv:cs/0108006.
    """
    name = "two_level_log_softmax"
    arrays = {"h": h, "class_w": class_w, "word_w": word_w}
    biases = {"class_bias": class_bias, "word_bias": word_bias}
    _array.required(name, **arrays, class_of=class_of)
    xp = _array.namespace(name, **arrays, **biases, class_of=class_of)
    text = "h: ... D, class_w: K D, word_w: V D, class_of: V, class_bias: K, word_bias: V -> ... V"
    size = _shapes.check(name, text, {**arrays, **biases, "class_of": class_of})
    check_index(xp, name, "class_of", class_of, size["K"], "classes")
    promoted = _array.promote(xp, name, **arrays, **biases)
    dtype = promoted[0].dtype
    h, class_w, word_w, class_bias, word_bias = (_array.widen(xp, x) for x in promoted)
    g = groups(xp, class_of, size["K"])
    of_class = row_log_softmax(
        linear(xp, h, class_w, class_bias), sizes(xp, g, None) > 0, axis=(h.ndim - 1,), scale=1.0
    )
    word = linear(xp, h, word_w, word_bias)
    share = columns(xp, of_class, g.member_of)
    if class_bias is not None:  # the words of a masked class are masked, whatever they hold
        word = select(xp, share != -xp.inf, word, -xp.inf)
    return _array.cast(xp, share + group_log_softmax(xp, g, word), dtype)
