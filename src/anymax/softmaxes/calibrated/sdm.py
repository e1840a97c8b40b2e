"""Similarity-distance-magnitude activations: a softmax that knows how far it is from its data."""

from __future__ import annotations

import math
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_log_softmax, row_softmax
from anymax.softmaxes._operands import Operands, operands, spread
from anymax.softmaxes._rows import Rows, rows

_PAPER = ("2502.20167",)
_SHAPES = "x: ... C, q: ... 1, d: ... 1 -> ... C"


@form(shapes=_SHAPES, papers=_PAPER, cost="O(n)", primitives=("row_softmax",))
def sdm_activation(
    x: Array,
    q: Array,
    d: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Softmax whose base is a similarity and whose exponent is scaled by a distance quantile.

    .. math:: p_i = \frac{(2+q)^{d\,x_i}}{\sum_j (2+q)^{d\,x_j}}
        = \mathrm{softmax}\big(d \log(2+q)\, x\big)_i

    Parameters
    ----------
    x : array (..., C)
        Logits (the magnitude).
    q : array (..., 1)
        Similarity, at least 0; broadcasts against `x`.
    d : array (..., 1)
        Distance quantile in [0, 1]; broadcasts against `x`.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    array (..., C)
        Weights in [0, 1].

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`, and if `q` or `d` doesn't broadcast to `x`.

    Notes
    -----
    Softmax for q = e - 2 and d = 1; uniform for d = 0; sharper with larger q, d and logits, in the
    same order.  A `d` per class is accepted, though the largest logit may then lose.  -inf is
    masked, whatever d is.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, half = np.asarray([0.0, 2.0]), np.asarray([0.5])
    >>> am.sdm_activation(x, np.asarray([1.0]), half)
    array([0.25, 0.75])

    References
    ----------
    .. [1] A. Schmaltz, "Similarity-distance-magnitude universal verification", arXiv:2502.20167,
       2025, equation 7.
    """
    ops, r, z, keep, _ = _scaled("sdm_activation", x, q, d, axis, where)
    return ops.finish(r.finish(row_softmax(z, keep, axis=r.axis, scale=1.0)))


@form(shapes=_SHAPES, papers=_PAPER, cost="O(n)", primitives=("row_log_softmax",))
def log_sdm_activation(
    x: Array,
    q: Array,
    d: Array,
    /,
    *,
    base: str = "2+q",
    eps: float = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Logarithm of the similarity-distance-magnitude activation, by default to the base 2 + q.

    .. math:: \log_{2+q} p_i = \frac{\log\mathrm{softmax}(d\log(2+q)\,x)_i}{\log(2+q)}

    Parameters
    ----------
    x : array (..., C)
        Logits (the magnitude).
    q : array (..., 1)
        Similarity, at least 0; broadcasts against `x`.
    d : array (..., 1)
        Distance quantile in [0, 1]; broadcasts against `x`.
    base : {"2+q", "e"}
        Base of the logarithm.
    eps : float
        Added to the shifted powers and to their sum before the logarithms; the official code has
        1.19e-7.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part; others get -inf.

    Returns
    -------
    array (..., C)
        Logarithms, at most 0.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.sdm_activation`; `base` or `eps` has no meaning.

    Notes
    -----
    Exact with ``eps=0``.  The official floor keeps natural logarithms above -15.9 and lets the
    gradients of very wrong classes vanish.  In base 2 + q the derivative of the log-probability is
    :math:`d\,(\delta - p)`: the logarithm of the base cancels.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, one = np.asarray([0.0, 800.0]), np.asarray([1.0])
    >>> am.log_sdm_activation(x, one, one)
    array([-800.,    0.])
    >>> am.log_sdm_activation(x, one, one, base="e", eps=1.1920929e-07).round(4)
    array([-15.9424,   0.    ])

    References
    ----------
    .. [1] A. Schmaltz, "Similarity-distance-magnitude universal verification", arXiv:2502.20167,
       2025, equations 7 and 8.
    """
    name = "log_sdm_activation"
    if base not in ("2+q", "e"):
        raise ValueError(f"{name}: base is {base!r}; '2+q' or 'e' fits")
    if not eps >= 0:
        raise ValueError(f"{name}: eps is {eps}; a number of at least 0 fits")
    ops, r, z, keep, log_base = _scaled(name, x, q, d, axis, where)
    xp = ops.xp
    if eps:
        e = _powers(xp, z, keep, r.axis)
        s = xp.sum(e, axis=r.axis, keepdims=True)
        y = select(xp, keep, xp.log(e + eps) - xp.log(s + eps), -xp.inf)
    else:
        y = row_log_softmax(z, keep, axis=r.axis, scale=1.0)
    if base == "2+q":
        y = select(xp, keep, select(xp, keep, y) / log_base, -xp.inf)
    return ops.finish(r.finish(y))


def _scaled(
    function: str, x: Array, q: Array, d: Array, axis: Any, where: Array | None
) -> tuple[Operands, Rows, Array, Array, Array]:
    """Scaled logits with what takes part, and log(2 + q), which is 1 where nothing does."""
    _array.required(function, x=x, q=q, d=d)
    ops = operands(function, x=x, q=q, d=d)
    xp, (x, q, d) = ops.xp, ops.arrays
    _array.check_broadcast(function, "q", q, x.shape, "x")
    _array.check_broadcast(function, "d", d, x.shape, "x")
    r = rows(function, x, axis, where)
    shape = tuple(x.shape)
    q, d = spread(xp, q, shape), spread(xp, d, shape)
    if r.scalar:
        q, d = q[..., None], d[..., None]
    keep = r.x != -xp.inf if r.where is None else (r.x != -xp.inf) & r.where
    log_base = xp.log(select(xp, keep, q, math.e - 2.0) + 2.0)
    # An infinite logit times a distance of 0 is NaN, as is any row that +inf takes part in.
    z = select(xp, keep, xp.where(r.x == xp.inf, xp.full_like(r.x, xp.nan), r.x))
    z = select(xp, keep, d) * log_base * z
    return ops, r, z, keep, log_base


def _powers(xp: Any, z: Array, keep: Array, axis: tuple[int, ...]) -> Array:
    """Shifted powers; the maximum is differentiated, as next to `eps` it does not drop out."""
    if 0 in z.shape:
        return z
    top = xp.max(select(xp, keep, z, -xp.inf), axis=axis, keepdims=True)
    top = select(xp, top != -xp.inf, top)
    return select(xp, keep, xp.exp(select(xp, keep, z - top)))


@form(shapes="match: ... k -> ...", papers=_PAPER, level="module", cost="O(k)")
def similarity_count(match: Array, /, *, axis: int = -1) -> Array:
    r"""Number of nearest neighbours in a row that agree, counted from the nearest one.

    .. math:: q = \sum_{j=1}^{k} \prod_{i\le j} \mathrm{match}_i

    Parameters
    ----------
    match : boolean array (..., k)
        Whether the j-th nearest training point was predicted rightly, and as what is predicted now.
    axis : int
        The axis of the neighbours, nearest first.

    Returns
    -------
    integer array (...)
        Length of the leading run of True.

    Raises
    ------
    TypeError, IndexError
        `match` is not boolean; `axis` is out of bounds.

    Notes
    -----
    The search for neighbours is left to the caller; training points leave themselves out.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmaxes.similarity_count(np.asarray([[True, True, False, True], [False] * 4]))
    array([2, 0])

    References
    ----------
    .. [1] A. Schmaltz, "Similarity-distance-magnitude universal verification", arXiv:2502.20167,
       2025, equation 5.
    """
    name = "similarity_count"
    _array.required(name, match=match)
    if not _array.is_bool(match):
        raise TypeError(f"{name}: match has dtype {_array.dtype_name(match)}; a boolean array fits")
    xp = _array.namespace(name, match=match)
    match = match[None] if match.ndim == 0 else match
    (a,) = _array.axes(name, axis, match.ndim)
    whole = xp.int32 if _array.library(match) == "jax" else xp.int64
    misses = xp.cumulative_sum(xp.astype(~match, whole), axis=a)
    return xp.sum(xp.astype(misses == 0, whole), axis=a)


@form(shapes="distance: ..., references: C n -> ...", papers=_PAPER, level="module", cost="O(C n)")
def distance_quantile(distance: Array, references: tuple[Array, ...], /) -> Array:
    r"""Smallest share, over classes, of reference distances that are not below a distance.

    .. math:: d = \min_c\Big(1 - \frac{\#\{r\in R_c : r < x\}}{|R_c|}\Big)

    Parameters
    ----------
    distance : array (...)
        Distance to the nearest training point.
    references : tuple of C arrays (n,), or array (C, n)
        Distances of calibration points of each class, in any order and number.

    Returns
    -------
    array (...)
        1 at distances up to the smallest reference of each class, 0 beyond the largest of one.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype; there is no class, or a reference is not one-dimensional.

    Notes
    -----
    An empty class gives 0, as in the official code: with nothing to compare to, nothing is close.
    NaN gives NaN.  Distances are compared as they come, so squared ones need squared references.
    Nothing is differentiable; memory is one truth value for each pair of distance and reference.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> refs = (np.asarray([1.0, 2.0, 3.0, 4.0]), np.asarray([0.0, 5.0]))
    >>> am.softmaxes.distance_quantile(np.asarray([0.0, 2.5, 9.0]), refs)
    array([1. , 0.5, 0. ])

    References
    ----------
    .. [1] A. Schmaltz, "Similarity-distance-magnitude universal verification", arXiv:2502.20167,
       2025, equations 6 and 9.
    """
    name = "distance_quantile"
    _array.required(name, distance=distance)
    if not isinstance(references, (tuple, list)):
        _array.required(name, references=references)
        references = tuple(references[c, ...] for c in range(references.shape[0]))
    if not references:
        raise ValueError(f"{name}: there are no references; an array for each class is needed")
    named = {f"references[{c}]": r for c, r in enumerate(references)}
    ops = operands(name, distance=distance, **named)
    xp, (x, *refs) = ops.xp, ops.arrays
    share = xp.ones_like(x)
    for c, r in enumerate(refs):
        if r.ndim != 1:
            raise ValueError(
                f"{name}: references[{c}] has shape {_array.shape_text(r.shape)}; (n,) is needed"
            )
        share = xp.minimum(share, _share_beyond(xp, x, r))
    return ops.finish(xp.where(xp.isnan(x), xp.full_like(share, xp.nan), share))


def _share_beyond(xp: Any, x: Array, reference: Array) -> Array:
    n = reference.shape[0]
    if n == 0:
        return xp.zeros_like(x)
    below = xp.sum(xp.astype(reference < x[..., None], xp.int32), axis=-1, dtype=xp.int32)
    return _array.cast(xp, n - below, x.dtype) / n


@form(shapes="q: ..., v: ... -> ...", papers=_PAPER, level="module", cost="O(1)")
def rescale_similarity(q: Array, v: Array, /) -> Array:
    r"""Similarity discounted by the quantile of the predicted class's output.

    .. math:: \tilde q = v \log(2 + q)

    Parameters
    ----------
    q : array (...)
        Similarity, at least 0.
    v : array (...)
        Quantile in [0, 1] of the output for the predicted class among calibration points.

    Returns
    -------
    array (...)
        Rescaled similarity; below 1, a point counts as out of distribution.

    Raises
    ------
    TypeError
        An array has no real dtype.
    ValueError
        The arrays don't broadcast.

    Notes
    -----
    Elementwise; differentiable in both.  A NaN gives NaN in its own cell.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmaxes.rescale_similarity(np.asarray([0.0, 6.0]), np.asarray([1.0, 0.5]))
    array([0.69314718, 1.03972077])

    References
    ----------
    .. [1] A. Schmaltz, "Similarity-distance-magnitude universal verification", arXiv:2502.20167,
       2025, equation 10.
    """
    _array.required("rescale_similarity", q=q, v=v)
    ops = operands("rescale_similarity", q=q, v=v)
    q, v = ops.arrays
    return ops.finish(v * ops.xp.log(q + 2.0))


@form(
    shapes="v: ... C, n_hat: ... C, predicted: ... -> ... C, ... C", papers=_PAPER, level="module",
    cost="O(C)",
)  # fmt: skip
def dkw_band(
    v: Array, n_hat: Array, predicted: Array, /, *, alpha: float = 0.95
) -> tuple[Array, Array]:
    r"""Confidence band of class-wise output quantiles, by the Dvoretzky-Kiefer-Wolfowitz bound.

    .. math:: \varepsilon_c = \sqrt{\frac{\log(2/(1-\alpha))}{2\,\hat n_c}}, \qquad
        \mathrm{lower}_c = \begin{cases} v_c - \varepsilon_c & c = \hat y\\
        v_c + \varepsilon_c & c \ne \hat y \end{cases}

    Parameters
    ----------
    v : array (..., C)
        Output quantiles of each class, in [0, 1].
    n_hat : array (..., C)
        Effective sample sizes; whole numbers or not.
    predicted : integer array (...)
        The predicted class.
    alpha : float
        Confidence, in (0, 1).

    Returns
    -------
    lower : array (..., C)
        The least favourable quantiles: lower for the predicted class, higher for the others,
        clipped to [0, 1].
    upper : array (..., C)
        The most favourable ones.

    Raises
    ------
    TypeError, ValueError
        `predicted` is not integer, `alpha` not in (0, 1), or the shapes don't fit.

    Notes
    -----
    The band has width 1 where the sample is empty.  Differentiable in v where it isn't clipped.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> v, n = np.asarray([0.9, 0.1]), np.asarray([200, 200])
    >>> lower, upper = am.softmaxes.dkw_band(v, n, np.asarray(0))
    >>> lower.round(4), upper.round(4)
    (array([0.804, 0.196]), array([0.996, 0.004]))

    References
    ----------
    .. [1] A. Schmaltz, "Similarity-distance-magnitude universal verification", arXiv:2502.20167,
       2025, equations 12 to 20.
    """
    name = "dkw_band"
    _array.required(name, v=v, n_hat=n_hat, predicted=predicted)
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"{name}: alpha is {alpha}; a number between 0 and 1 fits")
    if not _array.is_integer(predicted):
        said = _array.dtype_name(predicted)
        raise TypeError(f"{name}: predicted has dtype {said}; an integer dtype fits")
    ops = operands(name, v=v, n_hat=n_hat)
    xp, (v, n) = ops.xp, ops.arrays
    if v.ndim == 0:
        raise ValueError(f"{name}: v has no axis; (..., C) is needed")
    _array.check_broadcast(name, "n_hat", n, v.shape, "v")
    _array.check_broadcast(name, "predicted", predicted, v.shape[:-1], "v without classes")
    some = n > 0
    half_width = select(
        xp, some, xp.sqrt(0.5 * math.log(2.0 / (1.0 - alpha)) / select(xp, some, n, 1.0)), 1.0
    )
    index = _array.as_index(xp, predicted)[..., None]
    chosen = _array.arange(xp, v.shape[-1], predicted, dtype=index.dtype) == index
    side = xp.where(chosen, half_width, -half_width)
    return ops.finish(_unit(xp, v - side)), ops.finish(_unit(xp, v + side))


def _unit(xp: Any, x: Array) -> Array:
    return xp.clip(x, 0.0, 1.0)
