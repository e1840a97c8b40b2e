"""Losses of the spherical family: functions of a logit, of the sum of all and of their squares."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import Classes, classes
from anymax.primitives._masked import nonzero, safe_max, select
from anymax.softmaxes._rows import positive
from anymax.softmaxes.rational._parameters import not_negative
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid

_SHAPES = "logits: ... C, target: ... -> "
_PAPERS = ("1604.08859", "1511.05042")


@form(shapes=_SHAPES, papers=_PAPERS[:1], cost="O(n)")
def z_loss(
    logits: Array,
    target: Array,
    /,
    *,
    a: float = 1.0,
    b: float = 0.0,
    eps: float = 0.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Softplus of the standardised target logit; not the PaLM term, which is `lse_square_loss`.

    .. math:: \ell = \frac1a \log\big(1 + e^{a(b - z_y)}\big), \qquad
        z_k = \frac{x_k - \mu}{\sigma}, \quad \mu = \frac1C\sum_k x_k, \quad
        \sigma^2 = \frac1C\sum_k (x_k - \mu)^2

    Parameters
    ----------
    logits : array (..., C)
        Scores, the C classes on `axis`.
    target : integer array (...)
        Class indices.
    a, b : float
        Steepness, positive, and offset of the softplus.  The paper tunes both for each measure of
        accuracy; a larger `b` aims at fewer top classes.
    eps : float
        Added to :math:`\sigma`; the official script has 1e-12.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the target classes' weights.  The official script sums.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; `target` is floating, or `a` or `eps` out of range.

    Notes
    -----
    Unchanged by shifts and positive scales of the logits, so gradients sum to 0 and are orthogonal
    to the logits; at most :math:`\log(1 + e^{a(b + \sqrt{C-1})})/a`.  There are no probabilities.
    Means and squares are of logits shifted by their largest one, so nothing cancels or overflows.
    Logits that are all equal have :math:`z = 0` and, with ``eps=0``, gradient 0.  With
    :math:`g = \sigma_{logistic}(a(b - z_y))` the gradient is
    :math:`-\frac g\sigma\,([k = y] - \frac1C - \frac{z_y z_k}C)`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([[1.0, 2.0, 3.0], [30.0, 10.0, 20.0]])
    >>> am.z_loss(x, np.asarray([2, 0]), reduction="none")
    array([0.25760886, 0.25760886])

    References
    ----------
    .. [1] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859, 2016.
    """
    name = "z_loss"
    a, b, eps = positive(name, "a", a), float(b), not_negative(name, eps)
    if target is not None and _array.is_floating(target):
        raise TypeError(
            f"{name}: target has dtype {_array.dtype_name(target)}; class indices, integers, fit"
        )
    case = classes(name, logits, target, axis=axis, where=where, weight=weight, reduction=reduction)
    z = _standardised(case, eps)
    return case.finish(-log_sigmoid(case.xp, a * (z - b)) / a, reduction)


def _standardised(case: Classes, eps: float) -> Array:
    """The target's logit (...), less the mean and over the deviation of what takes part."""
    xp, axis = case.xp, (case.logits.ndim - 1,)
    top = safe_max(xp, case.logits, case.keep, axis)
    # Halves, as the difference of two logits may overflow; z knows neither shift nor scale.
    y = select(xp, case.keep, 0.5 * case.logits - 0.5 * top)
    size = nonzero(xp, safe_max(xp, -y, case.keep, axis))
    y = y / size
    count = xp.sum(xp.astype(case.keep, y.dtype), axis=-1, keepdims=True)
    count = nonzero(xp, count)
    y = select(xp, case.keep, y - xp.sum(y, axis=-1, keepdims=True) / count)
    variance = xp.sum(y * y, axis=-1) / count[..., 0]
    spread = variance != 0
    deviation = select(xp, spread, xp.sqrt(select(xp, spread, variance, 1.0)))
    deviation = deviation + 0.5 * eps / size[..., 0]
    some = deviation != 0
    return select(xp, some, case.at_target(y) / select(xp, some, deviation, 1.0))


@form(shapes=_SHAPES, papers=_PAPERS, cost="O(n)")
def spherical_mse(
    logits: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Squared distance of the logits from the one-hot target, or from a given one.

    .. math:: \ell = \sum_k (x_k - t_k)^2 = q - 2\sum_k t_k x_k + \sum_k t_k^2, \qquad
        q = \sum_k x_k^2

    Parameters
    ----------
    logits : array (..., C)
        Scores, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or the values to come close to.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array (C,)
        Class weights; an example weighs what its target does, :math:`\sum_k w_k t_k`.
    reduction : {"mean", "sum", "none"}
        The mean is over examples, and divides by the sum of their weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`.

    Notes
    -----
    The first form is computed, where nothing cancels; the second shows that it is spherical, so
    that :func:`anymax.losses.factored_backward_update` learns it without forming the logits.  The
    sum over classes is not divided by their number.  A target class that is masked, or whose logit
    is -inf, costs +inf; given values there are left out.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([[0.5, 0.25, 0.0], [0.0, 2.0, 0.0]])
    >>> am.spherical_mse(x, np.asarray([0, 1]), reduction="none")
    array([0.3125, 1.    ])

    References
    ----------
    .. [1] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859, 2016.
    .. [2] A. de Brebisson, P. Vincent, "An exploration of softmax alternatives belonging to the
       spherical loss family", ICLR 2016, arXiv:1511.05042.
    """
    name = "spherical_mse"
    case = classes(name, logits, target, axis=axis, where=where, weight=weight, reduction=reduction)
    xp = case.xp
    miss = select(xp, case.keep, case.logits - select(xp, case.keep, case.probabilities()))
    return case.finish(xp.sum(miss * miss, axis=-1), reduction, infinite=case.labels)
