"""Losses on a few sampled classes in the place of all of them."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses.classification._sampled import Sampled, sampled_logits
from anymax.primitives._masked import select
from anymax.primitives.row_cross_entropy import row_cross_entropy
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid

_SHAPES = "x: B D, w: V D, target: B, sampled: S -> "
_COST = "O(B D (T + S))"


@form(shapes=_SHAPES, papers=("1412.2007",), cost=_COST, primitives=("row_cross_entropy",))
def sampled_softmax_loss(
    x: Array,
    w: Array,
    target: Array,
    sampled: Array,
    /,
    *,
    bias: Array | None = None,
    target_log_q: Array | None = None,
    sampled_log_q: Array | None = None,
    remove_accidental_hits: bool = True,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy over the target and sampled classes, with logits corrected for the sampling.

    .. math:: \ell = \log\Big(\sum_{t=1}^T e^{y_t} + \sum_{s=1}^S e^{y_s}\Big)
        - \frac1T\sum_{t=1}^T y_t, \qquad y_c = w_c^\top x + b_c - \log q_c

    Parameters
    ----------
    x : array (B, D)
        Inputs of the layer.
    w : array (V, D)
        Weights of all V classes.
    target : integer array (B,) or (B, T)
        The right class, or T right ones; -1 for missing ones.
    sampled : integer array (S,) or (B, S)
        Sampled classes, the same for all examples or not.
    bias : array (V,)
        Added to the logits; -inf masks a class.
    target_log_q, sampled_log_q : arrays of the shapes of `target` and `sampled`
        Logarithms of how often a class is expected among the samples; constants.  None: no
        correction.
    remove_accidental_hits : bool
        Leave out samples that are a target of the example.
    where : boolean array, broadcastable to (B, T + S)
        True where a column takes part: targets, then samples.  Shape (B, 1) keeps or drops whole
        examples.
    weight : array (V,)
        Class weights; an example has the mean of its targets'.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the examples' weights.

    Returns
    -------
    array () or (B,)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or reduction that does not fit.
    IndexError
        A class that there is not (on arrays whose values are at hand).

    Notes
    -----
    With all classes sampled once, q = 1 and hits removed, this is :func:`anymax.cross_entropy`.  A
    constant added to all log q changes nothing.  A class that is never sampled has q = 0 and can't
    be corrected for.  A target that `where` or -inf masks costs +inf.  An example without a target
    costs 0 and is left out of the mean.  For evaluation the full softmax is meant.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, w = np.asarray([[1.0]]), np.log(np.asarray([[1.0], [2.0], [3.0], [4.0]]))
    >>> target, sampled = np.asarray([1]), np.asarray([0, 1, 3])
    >>> am.sampled_softmax_loss(x, w, target, sampled, reduction="none")  # log(7 / 2)
    array([1.25276297])

    References
    ----------
    .. [1] Y. Bengio, J.-S. Senecal, "Adaptive importance sampling to accelerate training of a
       neural probabilistic language model", IEEE Transactions on Neural Networks 19(4), 2008.
    .. [2] S. Jean, K. Cho, R. Memisevic, Y. Bengio, "On using very large target vocabulary for
       neural machine translation", ACL 2015, arXiv:1412.2007.
    """
    case = sampled_logits(
        "sampled_softmax_loss", x, w, target, sampled, bias=bias, target_log_q=target_log_q,
        sampled_log_q=sampled_log_q, remove_accidental_hits=remove_accidental_hits, where=where,
        weight=weight, reduction=reduction,
    )  # fmt: skip
    loss, _ = row_cross_entropy(
        case.logits, case.share, case.keep, None, None,
        label_smoothing=0.0, lse_square_scale=0.0, softcap=None,
    )  # fmt: skip
    return case.finish(loss, reduction)


@form(shapes=_SHAPES, papers=("1206.6426",), cost=_COST)
def nce_loss(
    x: Array,
    w: Array,
    target: Array,
    sampled: Array,
    /,
    *,
    bias: Array | None = None,
    target_log_q: Array | None = None,
    sampled_log_q: Array | None = None,
    remove_accidental_hits: bool = False,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Noise-contrastive estimation: tell target classes from samples of the noise.

    .. math:: \ell = \sum_{t=1}^T \Big(\log(1 + e^{y_t}) - \frac{y_t}T\Big)
        + \sum_{s=1}^S \log(1 + e^{y_s}), \qquad y_c = w_c^\top x + b_c - \log q_c

    Parameters
    ----------
    x : array (B, D)
        Inputs of the layer.
    w : array (V, D)
        Weights of all V classes.
    target : integer array (B,) or (B, T)
        The right class, or T right ones; -1 for missing ones.
    sampled : integer array (S,) or (B, S)
        Sampled classes, the same for all examples or not.
    bias : array (V,)
        Added to the logits; -inf masks a class.
    target_log_q, sampled_log_q : arrays of the shapes of `target` and `sampled`
        Logarithms of how often a class is expected among the samples, k times its probability with
        k samples of the noise; constants.  None: no correction.
    remove_accidental_hits : bool
        Leave out samples that are a target of the example.
    where : boolean array, broadcastable to (B, T + S)
        True where a column takes part: targets, then samples.  Shape (B, 1) keeps or drops whole
        examples.
    weight : array (V,)
        Class weights; an example has the mean of its targets'.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the examples' weights.  Columns are always summed.

    Returns
    -------
    array () or (B,)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.sampled_softmax_loss`.

    Notes
    -----
    The conventions are TensorFlow's: each of T targets has the label 1 / T.  With one target the
    term is :math:`\log(1 + e^{-y_t})`.  A masked column costs nothing, but a target whose bias is
    -inf costs +inf.  An example without a target costs 0 and is left out of the mean.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, w = np.asarray([[1.0]]), np.log(np.asarray([[1.0], [2.0], [3.0], [4.0]]))
    >>> target, sampled = np.asarray([1]), np.asarray([0, 3])
    >>> am.nce_loss(x, w, target, sampled, reduction="none")  # log(1.5 * 2 * 5)
    array([2.7080502])

    References
    ----------
    .. [1] M. Gutmann, A. Hyvarinen, "Noise-contrastive estimation: a new estimation principle for
       unnormalized statistical models", AISTATS 2010.
    .. [2] A. Mnih, Y. W. Teh, "A fast and simple algorithm for training neural probabilistic
       language models", ICML 2012, arXiv:1206.6426.
    """
    case = sampled_logits(
        "nce_loss", x, w, target, sampled, bias=bias, target_log_q=target_log_q,
        sampled_log_q=sampled_log_q, remove_accidental_hits=remove_accidental_hits, where=where,
        weight=weight, reduction=reduction,
    )  # fmt: skip
    return case.finish(_questions(case, case.share), reduction)


@form(shapes=_SHAPES, papers=("1310.4546",), cost=_COST)
def negative_sampling_loss(
    x: Array,
    w: Array,
    target: Array,
    sampled: Array,
    /,
    *,
    bias: Array | None = None,
    remove_accidental_hits: bool = False,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Negative sampling of word2vec: logistic losses of the target and of sampled classes.

    .. math:: \ell = \sum_{t=1}^T \log(1 + e^{-y_t}) + \sum_{s=1}^S \log(1 + e^{y_s}), \qquad
        y_c = w_c^\top x + b_c

    Parameters
    ----------
    x : array (B, D)
        Inputs of the layer: word vectors.
    w : array (V, D)
        Weights of all V classes: context vectors.
    target : integer array (B,) or (B, T)
        The right class, or T right ones; -1 for missing ones.
    sampled : integer array (S,) or (B, S)
        Sampled classes, the same for all examples or not.
    bias : array (V,)
        Added to the logits; -inf masks a class.
    remove_accidental_hits : bool
        Leave out samples that are a target of the example.
    where : boolean array, broadcastable to (B, T + S)
        True where a column takes part: targets, then samples.  Shape (B, 1) keeps or drops whole
        examples.
    weight : array (V,)
        Class weights; an example has the mean of its targets'.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the examples' weights.  Columns are always summed.

    Returns
    -------
    array () or (B,)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.sampled_softmax_loss`.

    Notes
    -----
    No correction for the sampling, whose distribution (in the paper the frequencies to the power
    3/4) is part of what is learnt.  With one target and no log q it is :func:`anymax.nce_loss`; the
    labels of several targets are 1 here.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, w = np.asarray([[1.0]]), np.log(np.asarray([[1.0], [2.0], [3.0], [4.0]]))
    >>> target, sampled = np.asarray([1]), np.asarray([[0, 3]])
    >>> am.negative_sampling_loss(x, w, target, sampled, reduction="none")  # log(1.5 * 2 * 5)
    array([2.7080502])

    References
    ----------
    .. [1] T. Mikolov, I. Sutskever, K. Chen, G. Corrado, J. Dean, "Distributed representations of
       words and phrases and their compositionality", NIPS 2013, arXiv:1310.4546.
    """
    case = sampled_logits(
        "negative_sampling_loss", x, w, target, sampled, bias=bias, target_log_q=None,
        sampled_log_q=None, remove_accidental_hits=remove_accidental_hits, where=where,
        weight=weight, reduction=reduction,
    )  # fmt: skip
    label = _array.cast(case.xp, case.true, case.logits.dtype)
    return case.finish(_questions(case, label), reduction)


def _questions(case: Sampled, label: Array) -> Array:
    """Sum (B,) of ``log(1 + e^y) - label * y`` over the columns that take part."""
    xp, y = case.xp, case.logits
    positive = y >= 0
    tail = -log_sigmoid(xp, xp.where(positive, y, -y))
    slope = xp.where(positive, 1.0 - label, -label)
    line = select(xp, slope != 0, y) * slope  # 0 * inf = 0
    loss = xp.sum(select(xp, case.keep, tail + line), axis=-1)
    return loss + select(xp, case.hopeless, xp.full_like(loss, xp.inf))
