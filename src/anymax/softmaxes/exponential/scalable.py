"""Scalable-Softmax: a softmax whose sharpness grows with the logarithm of the number of logits."""

from __future__ import annotations

import math

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import kept, select
from anymax.primitives.row_softmax import row_softmax
from anymax.primitives.row_weights import row_weights
from anymax.softmaxes._rows import rows

_NAME = "scalable_softmax"


@form(shapes="x: ... C -> ... C", papers=("2501.19399",), cost="O(n)", primitives=("row_weights",))
def scalable_softmax(
    x: Array,
    /,
    *,
    s: float | Array = 1.0,
    b: float | Array = 0.0,
    n: int | Array | None = None,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Softmax of the logits times the logarithm of their number, so that attention does not fade.

    .. math:: p_i = \frac{n^{s x_i}\,e^{b x_i}}{\sum_j n^{s x_j}\,e^{b x_j}}
        = \operatorname{softmax}\bigl((s \log n + b)\,x\bigr)_i

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    s : float or array
        The scale, one per head in the paper and learned; 0.43 is the value of its figures.  An
        array has size 1 along `axis` and is differentiated too.
    b : float or array
        Added to the factor, as in the paper's ablation; like `s`.
    n : int, integer array or None
        How many logits a row is said to have; None counts those that take part, in every row.
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
        As :func:`anymax.softmax`; an `n` below 1 is a ValueError.

    Notes
    -----
    The factor multiplies: a subtracted :math:`s \log n` would cancel.  A negative factor turns the
    order around, 0 is uniform.  A top logit that leads by more than 1/s keeps a weight near 1 for
    any n.  Masks, empty rows and NaN as in :func:`anymax.softmax`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.scalable_softmax(np.asarray([1.0, 0.0, 0.0, 0.0]))
    array([0.57142857, 0.14285714, 0.14285714, 0.14285714])

    References
    ----------
    .. [1] K. M. Nakanishi, "Scalable-Softmax Is Superior for Attention", arXiv:2501.19399.
    """
    if all(v is None or _array.is_scalar(v) for v in (s, b, n)):
        value = _finite("s", s), _finite("b", b)
        if n is not None:
            value = 0.0, value[0] * math.log(_count(n)) + value[1]
        r = rows(_NAME, x, axis, where)
        return r.finish(row_weights(r.x, r.where, None, axis=r.axis, kind="scalable", value=value))
    return _with_arrays(x, s, b, n, axis, where)


def _with_arrays(x: Array, s, b, n, axis, where) -> Array:
    """The same for arrays of factors or counts, which are differentiated."""
    _array.required(_NAME, x=x)
    xp = _array.namespace(_NAME, x=x, s=s, b=b, n=n, where=where)
    x, s, b = _array.promote(xp, _NAME, x=x, s=s, b=b)
    r = rows(_NAME, x, axis, where)
    wide = _array.widen(xp, r.x)
    keep = kept(xp, wide, r.where)
    s, b, n = (_beside(xp, name, v, r.x, r) for name, v in (("s", s), ("b", b), ("n", n)))
    if n is None:
        n = xp.sum(xp.astype(keep, wide.dtype), axis=r.axis, keepdims=True)
    if _array.is_scalar(n):
        log_n = math.log(_count(n))
    else:
        n = _array.cast(xp, n, wide.dtype)
        log_n = xp.log(xp.where(n < 1, xp.ones_like(n), n))
    z = xp.multiply(select(xp, keep, wide), s * log_n + b)
    y = row_softmax(select(xp, keep, z), keep, axis=r.axis, scale=1.0)
    return r.finish(_array.cast(xp, y, x.dtype))


def _beside(xp, name: str, v, x: Array, r):
    """A parameter that is an array, fit to stand beside `x`: the same along the softmax axes."""
    if v is None or _array.is_scalar(v):
        return v
    if r.scalar:
        v = v[..., None]
    _array.check_broadcast(_NAME, name, v, x.shape, "x")
    lead = x.ndim - v.ndim
    if any(a >= lead and v.shape[a - lead] != 1 for a in r.axis):
        raise ValueError(
            f"{_NAME}: {name} has shape {_array.shape_text(v.shape)}; it must have size 1 along "
            "the softmax axes"
        )
    return _array.widen(xp, v)


def _finite(name: str, value: float) -> float:
    if value is None or not math.isfinite(value):
        raise ValueError(f"{_NAME}: {name} is {value}; a finite number or an array fits")
    return float(value)


def _count(n: float) -> float:
    if not n >= 1:
        raise ValueError(f"{_NAME}: n is {n}; a count of at least 1 fits")
    return float(n)
