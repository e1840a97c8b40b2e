"""Softmax losses on angles, with a margin around the target class."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import class_axis, class_last, classes
from anymax.losses._targets import check_labels, check_target
from anymax.losses.margins._angles import cosines, with_margin
from anymax.losses.margins._arguments import number
from anymax.primitives._masked import select
from anymax.primitives._selection import one_hot
from anymax.softmaxes._operands import operands
from anymax.softmaxes._rows import positive

_MARGINS = {"cosface": 0.35, "arcface": 0.5, "sphereface": 4, "lsoftmax": 4}
_SHAPES = "embeddings: ... D, w: C D, target: ... -> "


@form(
    shapes="cosine: ... C, target: ... -> ... C",
    papers=("1801.07698", "1801.09414", "1704.08063"),
    cost="O(n)",
)
def apply_angular_margin(
    cosine: Array,
    target: Array,
    /,
    *,
    m1: float = 1,
    m2: float = 0.0,
    m3: float = 0.0,
    scale: float | Array = 1.0,
    easy_margin: bool = False,
    axis: int = -1,
) -> Array:
    r"""Scaled cosines, of which the target's angle is made larger by margins.

    .. math:: y_j = s \cos\theta_j \;(j \ne t), \qquad
              y_t = s\,\bigl(\cos(m_1 \theta_t + m_2) - m_3\bigr)

    Parameters
    ----------
    cosine : array (..., C)
        Cosines :math:`\cos\theta` of the angles between an example and the C classes.
    target : integer array (...)
        Class indices :math:`t`.
    m1 : float
        Factor of the angle, at least 1 in SphereFace (4); any positive number.
    m2 : float
        What is added to the angle, in radians from 0 to :math:`\pi` (ArcFace: 0.5).
    m3 : float
        What is taken from the cosine (CosFace: 0.35).
    scale : float or array, broadcastable to `cosine`
        :math:`s`; an array is differentiated too.
    easy_margin : bool
        Leave targets at more than a right angle without the margins on the angle.
    axis : int
        The class axis.

    Returns
    -------
    array (..., C)
        Logits for :func:`cross_entropy`.

    Raises
    ------
    TypeError
        `target` is not an integer array, a margin is not a number.
    ValueError
        `m1` is not positive, `m2` outside :math:`[0, \pi]`, a shape does not fit.
    IndexError
        A label outside [0, C) (on arrays whose values are at hand).

    Notes
    -----
    Past the angle at which the cosine would rise again, it goes on falling: with ``m1=1`` along
    :math:`\cos\theta - m_2 \sin m_2` (ArcFace), else as :math:`(-1)^k \cos a - 2k` with
    :math:`a = m_1\theta + m_2` and :math:`k = \lfloor a/\pi \rfloor` (SphereFace).  No arc cosine
    is taken for ``m1=1`` and for whole `m1` without `m2`.  Gradients are finite at
    :math:`\cos\theta = \pm 1`, too: closer to it than 1e-7, the sine is a chord.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> cosine = np.asarray([[0.5, 0.25, -0.5]])
    >>> am.apply_angular_margin(cosine, np.asarray([0]), m3=0.25, scale=2.0)
    array([[ 0.5,  0.5, -1. ]])
    >>> am.apply_angular_margin(cosine, np.asarray([2]), m1=4)
    array([[ 0.5 ,  0.25, -4.5 ]])

    References
    ----------
    .. [1] J. Deng et al., "ArcFace: additive angular margin loss for deep face recognition", 2019,
       section 3.1 (and equation 4, the margins combined). arXiv:1801.07698.
    .. [2] H. Wang et al., "CosFace: large margin cosine loss for deep face recognition", 2018,
       section 3. arXiv:1801.09414.
    .. [3] W. Liu et al., "SphereFace: deep hypersphere embedding for face recognition", 2017,
       section 3.2. arXiv:1704.08063.
    """
    name = "apply_angular_margin"
    margins = _checked(name, m1, m2, m3)
    if _array.is_scalar(scale):
        scale = number(name, "scale", scale)
    _array.namespace(name, cosine=cosine, target=target, scale=scale)
    _array.required(name, cosine=cosine, target=target)
    axis = class_axis(name, axis, cosine.ndim)
    rows = tuple(n for a, n in enumerate(cosine.shape) if a != axis)
    check_target(name, target, rows, cosine.shape, soft=False)
    given = operands(name, cosine=cosine, scale=scale)
    xp, (c, scale) = given.xp, given.arrays
    if not _array.is_scalar(scale):
        _array.check_broadcast(name, "scale", scale, cosine.shape, "cosine")
    target = _array.as_index(xp, xp.asarray(target))
    check_labels(xp, name, target, target == target, cosine.shape[axis])
    hot = one_hot(xp, target, cosine.shape[axis], -1, c.dtype) != 0
    c = class_last(xp, c, axis)
    chosen = with_margin(xp, xp.sum(select(xp, hot, c), axis=-1), *margins, easy_margin)
    y = xp.where(hot, chosen[..., None], c)
    y = y if axis == y.ndim - 1 else xp.moveaxis(y, -1, axis)
    return given.finish(y * scale)


def _checked(name: str, m1: Any, m2: Any, m3: Any) -> tuple[float, float, float]:
    m2 = number(name, "m2", m2)
    if not 0 <= m2 <= 3.1415926535897932:
        raise ValueError(f"{name}: m2 is {m2}; radians from 0 to pi fit")
    return positive(name, "m1", m1), m2, number(name, "m3", m3)


@form(
    shapes=_SHAPES,
    papers=("1801.09414", "1801.07698", "1704.08063", "1612.02295"),
    cost="O(n C D) for n examples",
    primitives=("row_log_softmax",),
)
def margin_softmax_loss(
    embeddings: Array,
    w: Array,
    target: Array,
    /,
    *,
    kind: str,
    margin: float | None = None,
    scale: float | Array = 64.0,
    easy_margin: bool = False,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of the angles to class vectors, the target's with a margin.

    .. math:: \ell = \log \sum_j e^{y_j} - y_t, \quad y_j = s \cos\theta_j \;(j \ne t), \quad
              y_t = s\,\psi(\theta_t), \quad
              \cos\theta_j = \frac{x \cdot w_j}{\lVert x \rVert \lVert w_j \rVert}

    Parameters
    ----------
    embeddings : array (..., D)
        Examples :math:`x`.
    w : array (C, D)
        Class vectors.
    target : integer array (...)
        Class indices :math:`t`.
    kind : {"cosface", "arcface", "sphereface", "lsoftmax"}
        :math:`\psi` is :math:`\cos\theta - m`, :math:`\cos(\theta + m)`, and twice
        :math:`\cos(m\theta)`, each falling up to :math:`\pi`
        (see :func:`apply_angular_margin`).
    margin : float, optional
        :math:`m`: 0.35, 0.5 (radians), 4 and 4 by default.
    scale : float or array ()
        :math:`s` of cosface and arcface; sphereface has :math:`\lVert x \rVert` in its place,
        lsoftmax :math:`\lVert x \rVert \lVert w_j \rVert`.
    easy_margin : bool
        Leave targets at more than a right angle without a margin on the angle.
    where : boolean array, broadcastable to (..., C)
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights; the mean divides by the sum of the targets' weights.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the examples.

    Returns
    -------
    array () or (...)
        The loss, or one loss an example with ``reduction="none"``.

    Raises
    ------
    TypeError
        `target` is not an integer array, `where` is not boolean.
    ValueError
        Another kind, a shape, margin or reduction that does not fit.
    IndexError
        A label outside [0, C) (on arrays whose values are at hand).

    Notes
    -----
    Margins are radians (pytorch-metric-learning: degrees, and w is transposed).  A zero vector has
    cosine 0 to everything and gets no gradient.  A target that is masked costs +inf; a vector with
    NaN or an infinity makes NaN what it takes part in, and nothing else.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, w = np.asarray([[3.0, 4.0]]), np.eye(2)
    >>> round(float(am.margin_softmax_loss(x, w, np.asarray([1]), kind="cosface", scale=4.0)), 6)
    1.037488

    References
    ----------
    .. [1] H. Wang et al., "CosFace: large margin cosine loss for deep face recognition", 2018.
       arXiv:1801.09414.
    .. [2] J. Deng et al., "ArcFace: additive angular margin loss for deep face recognition", 2019.
       arXiv:1801.07698.
    .. [3] W. Liu et al., "SphereFace: deep hypersphere embedding for face recognition", 2017.
       arXiv:1704.08063.
    .. [4] W. Liu et al., "Large-margin softmax loss for convolutional neural networks", 2016.
       arXiv:1612.02295.
    """
    name = "margin_softmax_loss"
    margins = _margins_of(name, kind, margin)
    if _array.is_scalar(scale):
        scale = positive(name, "scale", scale)
    _array.required(name, embeddings=embeddings, w=w, target=target)
    _array.namespace(name, embeddings=embeddings, w=w, target=target, where=where, scale=scale)
    _shapes.check(name, _SHAPES, {"embeddings": embeddings, "w": w})
    given = operands(name, embeddings=embeddings, w=w, scale=scale)
    xp, (x, vectors, s) = given.xp, given.arrays
    cosine, x_norm, w_norm = cosines(xp, x, vectors)
    c = classes(name, cosine, target, where=where, weight=weight, reduction=reduction, soft=False)
    chosen = with_margin(xp, c.at_target(c.logits), *margins, easy_margin)
    y = xp.where(c.keep & (c.probabilities() != 0), chosen[..., None], c.logits)
    if kind == "sphereface":
        s = x_norm
    elif kind == "lsoftmax":
        s = x_norm * w_norm
    floating = (a for a in (embeddings, w, scale, weight) if hasattr(a, "dtype"))
    c = c._replace(logits=select(xp, c.keep, y * s), dtype=_array.float_dtype(xp, floating))
    return c.finish(-c.at_target(c.log_softmax()), reduction)


def _margins_of(name: str, kind: str, margin: float | None) -> tuple[float, float, float]:
    if kind not in _MARGINS:
        said = ", ".join(map(repr, _MARGINS))
        raise ValueError(f"{name}: kind is {kind!r}; one of {said} fits")
    m = number(name, "margin", _MARGINS[kind] if margin is None else margin)
    if kind == "cosface":
        return 1.0, 0.0, m
    if kind == "arcface":
        return _checked(name, 1.0, m, 0.0)
    return _checked(name, m, 0.0, 0.0)
