"""Losses on overlaps: Dice, Tversky and the Lovasz extensions of the Jaccard index."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses.margins._arguments import number
from anymax.losses.margins._hinges import hinge
from anymax.losses.segmentation._lovasz import lovasz
from anymax.losses.segmentation._regions import focused, pixels, regions, tversky
from anymax.primitives._masked import select
from anymax.softmaxes._operands import beside_tape, operands
from anymax.softmaxes._rows import positive


@form(shapes="probs: ... C, target: ... -> ", cost="O(n)")
def dice_loss(
    probs: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    smooth: float = 0.0,
    eps: float = 1e-7,
    squared: bool = False,
    classes: str = "present",
    per_sample: bool = False,
    reduction: str = "mean",
) -> Array:
    r"""One minus the Dice index of predicted and true regions, averaged over classes.

    .. math:: \ell_c = 1 - \frac{\sum_i p_{ic} t_{ic} + \epsilon}
              {\tfrac12 \bigl(\sum_i p_{ic} + \sum_i t_{ic}\bigr) + \epsilon}

    with :math:`\epsilon` = `smooth`.

    Parameters
    ----------
    probs : array (..., C)
        Probabilities :math:`p` of the C classes in each pixel.
    target : integer array (...) or array (..., C)
        Class indices, or booleans or shares :math:`t`.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `probs`
        True where a class of a pixel takes part; shape (..., 1) keeps or drops pixels.
    weight : array (C,)
        Class weights; the mean divides by their sum.
    smooth : float
        :math:`\epsilon`, added above and below (twice that in libraries that double the fraction).
    eps : float
        Least divisor, positive.
    squared : bool
        Sums of squares below, as V-Net.
    classes : {"present", "all"}
        Which classes count: those in the target, or all that take part.
    per_sample : bool
        Sum over the pixels of each entry of the first axis alone, rather than of the whole batch.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the classes.

    Returns
    -------
    array (), (C,) or (B, C)
        The loss; with ``reduction="none"`` one a class (and sample), 0 where one does not count.

    Raises
    ------
    TypeError
        `target` is not an array of numbers, `where` is not boolean.
    ValueError
        A shape, option or reduction that does not fit.
    IndexError
        A label outside [0, C) (on arrays whose values are at hand; under the mask, too).

    Notes
    -----
    A class that does not count leaves the mean; segmentation_models_pytorch counts it as 0.  For
    shares, the intersection is the sum of products (there: of minima).  Halves are summed in
    float32.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> probs = np.asarray([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    >>> am.dice_loss(probs, np.asarray([0, 0, 1]), reduction="none")
    array([0.28571429, 0.4       ])

    References
    ----------
    .. [1] F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
       volumetric medical image segmentation", 2016, section 3.
    """
    name = "dice_loss"
    a = regions(
        name,
        probs,
        target,
        axis=axis,
        where=where,
        weight=weight,
        which=classes,
        per_sample=per_sample,
        reduction=reduction,
    )
    smooth, eps = number(name, "smooth", smooth), positive(name, "eps", eps)
    return a.finish(tversky(a, 0.5, 0.5, smooth, eps, squared), reduction)


@form(shapes="probs: ... C, target: ... -> ", papers=("1706.05721", "1810.07842"), cost="O(n)")
def tversky_loss(
    probs: Array,
    target: Array,
    /,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 1.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    smooth: float = 0.0,
    eps: float = 1e-7,
    classes: str = "present",
    per_sample: bool = False,
    reduction: str = "mean",
) -> Array:
    r"""One minus the Tversky index of predicted and true regions, averaged over classes.

    .. math:: \ell_c = \Bigl(1 - \frac{TP_c + \epsilon}
              {TP_c + \alpha FP_c + \beta FN_c + \epsilon}\Bigr)^\gamma

    with :math:`TP = \sum p t`, :math:`FP = \sum p - TP`, :math:`FN = \sum t - TP`,
    :math:`\epsilon` = `smooth`.

    Parameters
    ----------
    probs : array (..., C)
        Probabilities :math:`p` of the C classes in each pixel.
    target : integer array (...) or array (..., C)
        Class indices, or booleans or shares :math:`t`.
    alpha, beta : float
        What false positives and false negatives weigh; 0.5 both is Dice, 1 both Jaccard.
    gamma : float
        :math:`\gamma`, positive; other than 1 it is the focal Tversky loss.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `probs`
        True where a class of a pixel takes part; shape (..., 1) keeps or drops pixels.
    weight : array (C,)
        Class weights; the mean divides by their sum.
    smooth : float
        :math:`\epsilon`, added above and below.
    eps : float
        Least divisor, positive.
    classes : {"present", "all"}
        Which classes count: those in the target, or all that take part.
    per_sample : bool
        Sum over the pixels of each entry of the first axis alone, rather than of the whole batch.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the classes.

    Returns
    -------
    array (), (C,) or (B, C)
        The loss; with ``reduction="none"`` one a class (and sample), 0 where one does not count.

    Raises
    ------
    TypeError
        `target` is not an array of numbers, `where` is not boolean.
    ValueError
        A shape, option or reduction that does not fit.
    IndexError
        A label outside [0, C) (on arrays whose values are at hand; under the mask, too).

    Notes
    -----
    As :func:`dice_loss`.  At a perfect class a power other than 1 has gradient 0.  The focal
    Tversky paper writes its exponent as :math:`1/\gamma`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> probs = np.asarray([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    >>> y = am.tversky_loss(probs, np.asarray([0, 0, 1]), alpha=0.25, beta=0.75, reduction="none")
    >>> np.round(y, 6)
    array([0.333333, 0.333333])

    References
    ----------
    .. [1] S. S. M. Salehi, D. Erdogmus, A. Gholipour, "Tversky loss function for image segmentation
       using 3D fully convolutional deep networks", 2017. arXiv:1706.05721.
    .. [2] N. Abraham, N. M. Khan, "A novel focal Tversky loss function with improved attention
       U-Net for lesion segmentation", 2018. arXiv:1810.07842.
    """
    name = "tversky_loss"
    a = regions(
        name,
        probs,
        target,
        axis=axis,
        where=where,
        weight=weight,
        which=classes,
        per_sample=per_sample,
        reduction=reduction,
    )
    alpha, beta = number(name, "alpha", alpha), number(name, "beta", beta)
    smooth, eps = number(name, "smooth", smooth), positive(name, "eps", eps)
    loss = tversky(a, alpha, beta, smooth, eps)
    return a.finish(focused(a.xp, loss, positive(name, "gamma", gamma)), reduction)


@form(
    shapes="probs: ... C, target: ... -> ",
    papers=("1705.08790",),
    cost="O(n log n) for n pixels of a class",
)
def lovasz_softmax(
    probs: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    classes: str = "present",
    per_sample: bool = False,
    reduction: str = "mean",
) -> Array:
    r"""Convex extension of the Jaccard loss to the errors of probabilities, averaged over classes.

    .. math:: \ell_c = \sum_i m_{(i)} \bigl(\Delta_c(i) - \Delta_c(i-1)\bigr), \qquad
              m_i = \bigl|[y_i = c] - p_{ic}\bigr|

    with errors :math:`m` in descending order and :math:`\Delta_c(i)` the Jaccard loss when the
    first i of them are mistakes.

    Parameters
    ----------
    probs : array (..., C)
        Probabilities :math:`p` of the C classes in each pixel.
    target : integer array (...)
        Class indices :math:`y`.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `probs`
        True where a class of a pixel takes part; shape (..., 1) keeps or drops pixels.
    classes : {"present", "all"}
        Which classes count: those in the target, or all that take part.
    per_sample : bool
        Sort the pixels of each entry of the first axis alone, rather than of the whole batch.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the classes.

    Returns
    -------
    array (), (C,) or (B, C)
        The loss; with ``reduction="none"`` one a class (and sample), 0 where one does not count.

    Raises
    ------
    TypeError
        `target` is not an integer array, `where` is not boolean.
    ValueError
        A shape, option or reduction that does not fit.
    IndexError
        A label outside [0, C) (on arrays whose values are at hand; under the mask, too).

    Notes
    -----
    Equal errors are sorted by index: the loss does not depend on it, the subgradient is one of
    several.  The official code's `ignore` is a `where`, with another label in the place of the
    ignored one.  With `per_sample`, samples and classes are averaged together.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> probs = np.asarray([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    >>> am.lovasz_softmax(probs, np.asarray([0, 0, 1]), reduction="none")
    array([0.375, 0.375])

    References
    ----------
    .. [1] M. Berman, A. R. Triki, M. B. Blaschko, "The Lovasz-softmax loss: a tractable surrogate
       for the optimization of the intersection-over-union measure in neural networks", 2018,
       section 3. arXiv:1705.08790.
    """
    a = regions(
        "lovasz_softmax",
        probs,
        target,
        axis=axis,
        where=where,
        which=classes,
        per_sample=per_sample,
        reduction=reduction,
        soft=False,
    )
    xp = a.xp
    truth = a.target != 0
    error = xp.where(truth, 1 - a.probs, a.probs)
    error = xp.where(error < 0, -error, error)
    error, truth, keep = map(xp.matrix_transpose, (select(xp, a.keep, error), truth, a.keep))
    return a.finish(lovasz(xp, error, truth, keep), reduction)


@form(
    shapes="logits: ..., target: ... -> ",
    papers=("1705.08790",),
    cost="O(n log n) for n pixels",
)
def lovasz_hinge(
    logits: Array,
    target: Array,
    /,
    *,
    where: Array | None = None,
    per_sample: bool = False,
    reduction: str = "mean",
) -> Array:
    r"""Convex extension of the Jaccard loss to the hinges of signed scores.

    .. math:: \ell = \sum_i \max(0, m_{(i)}) \bigl(\Delta(i) - \Delta(i-1)\bigr), \qquad
              m_i = 1 - s_i (2 y_i - 1)

    with errors :math:`m` in descending order and :math:`\Delta(i)` the Jaccard loss when the first
    i of them are mistakes.

    Parameters
    ----------
    logits : array (...)
        Signed scores :math:`s` of the pixels.
    target : boolean or integer array (...)
        :math:`y`: True or 1 inside the region, False or 0 outside.
    where : boolean array, broadcastable to `logits`
        True where a pixel takes part.
    per_sample : bool
        Sort the pixels of each entry of the first axis alone, rather than of the whole batch.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the samples, of which there is one without `per_sample`.

    Returns
    -------
    array () or (B,)
        The loss, or one loss a sample with `per_sample` and ``reduction="none"``.

    Raises
    ------
    TypeError
        `target` is neither boolean nor integer, `where` is not boolean.
    ValueError
        A shape or reduction that does not fit; targets other than 0 and 1.

    Notes
    -----
    Equal errors are sorted by index: the loss does not depend on it, the subgradient is one of
    several.  A sample without pixels costs 0 and is left out of the mean.  A score of +inf on its
    right side costs 0, on its wrong side +inf.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> float(am.lovasz_hinge(np.asarray([2.0, -0.5, 0.5]), np.asarray([1, 1, 0])))
    1.0

    References
    ----------
    .. [1] J. Yu, M. Blaschko, "Learning submodular losses with the Lovasz hinge", 2015.
    .. [2] M. Berman, A. R. Triki, M. B. Blaschko, "The Lovasz-softmax loss", 2018, section 2.
       arXiv:1705.08790.
    """
    name = "lovasz_hinge"
    check_reduction(name, reduction)
    xp = _array.namespace(name, logits=logits, target=target, where=where)
    _array.required(name, logits=logits, target=target)
    truth = _inside(xp, name, target, logits)
    _array.check_mask(name, "where", where, logits.shape, "logits")
    given = operands(name, logits=logits)
    (s,) = given.arrays
    shape = tuple(s.shape)
    keep = truth == truth if where is None else xp.broadcast_to(where, shape)
    s, truth, keep = (pixels(xp, x, 0, per_sample, name) for x in (s, truth, keep))
    s = select(xp, keep, s)
    error = select(xp, keep, hinge(xp, 1 - xp.where(truth, s, -s)))
    loss = lovasz(xp, error, truth, keep)
    return given.finish(reduced(xp, loss, reduction, live=xp.any(keep, axis=-1)))


def _inside(xp, name: str, target: Array, logits: Array) -> Array:
    """Boolean targets from booleans or from zeros and ones."""
    if tuple(target.shape) != tuple(logits.shape):
        raise ValueError(
            f"{name}: target has shape {_array.shape_text(target.shape)}; the shape of the logits, "
            f"{_array.shape_text(logits.shape)}, fits"
        )
    if _array.is_bool(target):
        return beside_tape(xp, target)
    if not _array.is_integer(target):
        raise TypeError(
            f"{name}: target has dtype {_array.dtype_name(target)}; a boolean or integer dtype fits"
        )
    target = beside_tape(xp, target)
    if _array.values_known(target) and 0 not in target.shape:
        good = xp.all((target == 0) | (target == 1))
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{name}: target holds values other than 0 and 1, or booleans")
    return target == 1
