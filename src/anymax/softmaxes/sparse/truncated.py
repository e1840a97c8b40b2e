"""Truncated softmaxes for sampling: top-k, top-p, min-p, and the masks of what they keep."""

from __future__ import annotations

import math
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_cut import row_cut
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._rows import Rows, rows
from anymax.softmaxes.sparse._parameters import (
    AT_LEAST_ONE,
    FRACTION,
    Bound,
    with_parameter,
)


@form(shapes="x: ... C -> ... C", papers=("classic",), cost="O(n)", primitives=("row_cut",))
def top_k_mask(
    x: Array,
    /,
    *,
    k: int | Array,
    strict: bool = False,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Which logits are among the k largest of their row.

    .. math:: x_i\ge x_{(k)}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    k : int or array
        How many to keep, at least 1; more than there are keeps all.  An array has size 1 along
        `axis`.
    strict : bool
        Keep exactly k, of equal logits those with the lowest index.  Otherwise all that equal the
        k-th largest stay.
    axis : int, tuple of ints or None
        Axes of a row; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    boolean array (..., C)
        True where a logit is kept.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a k below 1 is refused.

    Notes
    -----
    By selection in linear time where kernels run, by a stable sort elsewhere.  Logits of -inf are
    never kept.  In a row with NaN or +inf all that takes part is, so that the NaN shows.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.top_k_mask(np.asarray([3.0, 1.0, 2.0, 2.0]), k=2)
    array([ True, False,  True,  True])
    >>> am.top_k_mask(np.asarray([3.0, 1.0, 2.0, 2.0]), k=2, strict=True)
    array([ True, False,  True, False])

    References
    ----------
    .. [1] A. Fan, M. Lewis, Y. Dauphin, "Hierarchical Neural Story Generation", ACL 2018.
    """
    r, keep = _top_k("top_k_mask", x, k, strict, axis, where, 1.0)
    return r.finish(keep)


@form(
    shapes="x: ... C -> ... C",
    papers=("classic",),
    cost="O(n)",
    primitives=("row_softmax", "row_cut"),
)
def top_k_softmax(
    x: Array,
    /,
    *,
    k: int | Array,
    strict: bool = False,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Softmax over the k largest logits of each row, 0 elsewhere.

    .. math:: p_i = \frac{[x_i\ge x_{(k)}]\,e^{x_i/T}}{\sum_j[x_j\ge x_{(k)}]\,e^{x_j/T}}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    k : int or array
        How many to keep, at least 1; more than there are keeps all.  An array has size 1 along
        `axis`.
    strict : bool
        Keep exactly k, of equal logits those with the lowest index.  Otherwise all that equal the
        k-th largest stay.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.
    temperature : float or array
        Divides the logits; positive, size 1 along `axis`.

    Returns
    -------
    array (..., C)
        Weights in [0, 1] that sum to one.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a k below 1 is refused.

    Notes
    -----
    The derivative is that of softmax over what is kept, which is a constant.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.top_k_softmax(np.log(np.asarray([5.0, 3.0, 2.0])), k=2)
    array([0.625, 0.375, 0.   ])

    References
    ----------
    .. [1] A. Fan, M. Lewis, Y. Dauphin, "Hierarchical Neural Story Generation", ACL 2018.
    """
    r, keep = _top_k("top_k_softmax", x, k, strict, axis, where, temperature)
    return r.finish(row_softmax(r.x, keep, axis=r.axis, scale=r.scale))


@form(shapes="x: ... C -> ... C", papers=("1904.09751",), cost="O(n)", primitives=("row_cut",))
def top_p_mask(
    x: Array,
    /,
    *,
    p: float | Array,
    min_keep: int = 1,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Which logits belong to the smallest set of largest ones that holds the mass p.

    .. math:: \sum_{j\text{ before }i}\mathrm{softmax}(x/T)_j < p

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    p : float or array
        Mass in [0, 1]; 1 keeps all, 0 the largest alone.  An array has size 1 along `axis`.
    min_keep : int
        How many stay at least.
    axis : int, tuple of ints or None
        Axes of a row; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.
    temperature : float or array
        Divides the logits; positive, size 1 along `axis`.

    Returns
    -------
    boolean array (..., C)
        True where a logit is kept.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a p outside [0, 1] is refused.

    Notes
    -----
    "Before" is stable descending order: of equal logits the lowest index comes first, on every
    library.  The one that crosses p stays, as in Hugging Face transformers.  Kernels find the
    threshold by halving, and sort only what is left around it.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.top_p_mask(np.log(np.asarray([0.5, 0.2, 0.2, 0.1])), p=0.6)
    array([ True,  True, False, False])

    References
    ----------
    .. [1] A. Holtzman, J. Buys, L. Du, M. Forbes, Y. Choi, "The Curious Case of Neural Text
       Degeneration", ICLR 2020, arXiv:1904.09751.
    """
    r, keep = _top_p("top_p_mask", x, p, min_keep, axis, where, temperature)
    return r.finish(keep)


@form(
    shapes="x: ... C -> ... C",
    papers=("1904.09751",),
    cost="O(n)",
    primitives=("row_softmax", "row_cut"),
)
def top_p_softmax(
    x: Array,
    /,
    *,
    p: float | Array,
    min_keep: int = 1,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Softmax over the smallest set of largest logits that holds the mass p: nucleus sampling.

    .. math:: p_i\propto e^{x_i/T}\quad\text{where}\quad
              \sum_{j\text{ before }i}\mathrm{softmax}(x/T)_j < p

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    p : float or array
        Mass in [0, 1]; 1 keeps all, 0 the largest alone.  An array has size 1 along `axis`.
    min_keep : int
        How many stay at least.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.
    temperature : float or array
        Divides the logits; positive, size 1 along `axis`.

    Returns
    -------
    array (..., C)
        Weights in [0, 1] that sum to one.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a p outside [0, 1] is refused.

    Notes
    -----
    See :func:`anymax.top_p_mask` for order and ties.  The derivative is that of softmax over what
    is kept, which is a constant.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.top_p_softmax(np.log(np.asarray([0.5, 0.3, 0.15, 0.05])), p=0.6)
    array([0.625, 0.375, 0.   , 0.   ])

    References
    ----------
    .. [1] A. Holtzman, J. Buys, L. Du, M. Forbes, Y. Choi, "The Curious Case of Neural Text
       Degeneration", ICLR 2020, arXiv:1904.09751.
    """
    r, keep = _top_p("top_p_softmax", x, p, min_keep, axis, where, temperature)
    return r.finish(row_softmax(r.x, keep, axis=r.axis, scale=r.scale))


@form(shapes="x: ... C -> ... C", papers=("2407.01082",), cost="O(n)", primitives=("row_cut",))
def min_p_mask(
    x: Array,
    /,
    *,
    min_p: float | Array,
    min_keep: int = 1,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Which logits have at least the fraction min_p of the largest weight.

    .. math:: x_i\ge\max_j x_j + T\log p_{\min}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    min_p : float or array
        Fraction in [0, 1]; 0 keeps all.  An array has size 1 along `axis`.
    min_keep : int
        How many stay at least.
    axis : int, tuple of ints or None
        Axes of a row; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.
    temperature : float or array
        Divides the logits; positive, size 1 along `axis`.

    Returns
    -------
    boolean array (..., C)
        True where a logit is kept.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a min_p outside [0, 1] is refused.

    Notes
    -----
    Decided on the logits: no softmax is taken.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.min_p_mask(np.log(np.asarray([0.6, 0.3, 0.1])), min_p=0.25)
    array([ True,  True, False])

    References
    ----------
    .. [1] N. N. Minh et al., "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM
       Outputs", ICLR 2025, arXiv:2407.01082.
    """
    r, keep = _min_p("min_p_mask", x, min_p, min_keep, axis, where, temperature)
    return r.finish(keep)


@form(
    shapes="x: ... C -> ... C",
    papers=("2407.01082",),
    cost="O(n)",
    primitives=("row_softmax", "row_cut"),
)
def min_p_softmax(
    x: Array,
    /,
    *,
    min_p: float | Array,
    min_keep: int = 1,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Softmax over the logits with at least the fraction min_p of the largest weight.

    .. math:: p_i\propto e^{x_i/T}\quad\text{where}\quad x_i\ge\max_j x_j + T\log p_{\min}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    min_p : float or array
        Fraction in [0, 1]; 0 keeps all.  An array has size 1 along `axis`.
    min_keep : int
        How many stay at least.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.
    temperature : float or array
        Divides the logits; positive, size 1 along `axis`.

    Returns
    -------
    array (..., C)
        Weights in [0, 1] that sum to one.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a min_p outside [0, 1] is refused.

    Notes
    -----
    The derivative is that of softmax over what is kept, which is a constant.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.min_p_softmax(np.log(np.asarray([0.5, 0.3, 0.2])), min_p=0.5)
    array([0.625, 0.375, 0.   ])

    References
    ----------
    .. [1] N. N. Minh et al., "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM
       Outputs", ICLR 2025, arXiv:2407.01082.
    """
    r, keep = _min_p("min_p_softmax", x, min_p, min_keep, axis, where, temperature)
    return r.finish(row_softmax(r.x, keep, axis=r.axis, scale=r.scale))


# -- what is kept, a constant --------------------------------------------------------------------


def _parts(
    name: str,
    x: Array,
    axis: Any,
    where: Array | None,
    temperature: Any,
    bound: Bound,
    **given: Any,
) -> tuple[Rows, Array | None, float]:
    """Rows of logits as for softmax, and the parameter of the cut."""
    r = rows(name, x, axis, where, temperature)
    _, parameter, value = with_parameter(name, x, axis, where, bound, **given)
    return r, parameter if parameter is None else _array.stop_gradient(parameter), value


def _cut(r: Rows, parameter: Array | None, kind: str, value: float, least: int = 1) -> Array:
    x = _array.stop_gradient(r.x)
    return row_cut(
        x, r.where, parameter, axis=r.axis, kind=kind, value=value, least=least, scale=r.scale
    )


def _top_k(name, x, k, strict, axis, where, temperature) -> tuple[Rows, Array]:
    r, parameter, value = _parts(name, x, axis, where, temperature, AT_LEAST_ONE, k=k)
    kind = "top_k_strict" if strict else "top_k"
    return r, _cut(r, parameter, kind, float(math.floor(value)) if parameter is None else 0.0)


def _top_p(name, x, p, min_keep, axis, where, temperature) -> tuple[Rows, Array]:
    r, parameter, value = _parts(name, x, axis, where, temperature, FRACTION, p=p)
    return r, _cut(r, parameter, "top_p", value, _count(name, min_keep))


def _min_p(name, x, min_p, min_keep, axis, where, temperature) -> tuple[Rows, Array]:
    r, parameter, value = _parts(name, x, axis, where, temperature, FRACTION, min_p=min_p)
    return r, _cut(r, parameter, "min_p", value, _count(name, min_keep))


def _count(function: str, min_keep: Any) -> int:
    if not hasattr(min_keep, "__index__") or isinstance(min_keep, bool) or min_keep < 1:
        raise ValueError(f"{function}: min_keep is {min_keep!r}; an int of at least 1 fits")
    return int(min_keep)
