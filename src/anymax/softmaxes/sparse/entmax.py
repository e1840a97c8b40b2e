"""Sparse relatives of softmax: sparsemax, entmax, normmax, and sparsemax with a budget."""

from __future__ import annotations

from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_softmax import row_softmax
from anymax.primitives.row_threshold import row_threshold
from anymax.softmaxes._rows import rows
from anymax.softmaxes.sparse._parameters import (
    ABOVE_ONE,
    AT_LEAST_ONE,
    AT_LEAST_ZERO,
    with_parameter,
)


@form(
    shapes="x: ... C -> ... C", papers=("1602.02068",), cost="O(n)", primitives=("row_threshold",)
)
def sparsemax(
    x: Array, /, *, axis: int | tuple[int, ...] | None = -1, where: Array | None = None
) -> Array:
    r"""Euclidean projection of the logits onto the probability simplex.

    .. math:: p = \arg\min_{p\in\Delta}\lVert p-x\rVert^2 = [x-\tau]_+,\qquad \sum_i p_i = 1

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.  Others get weight exactly 0, whatever they hold.

    Returns
    -------
    array (..., C)
        Weights in [0, 1], most of them exactly 0.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    Only logits within 1 of the largest can have weight.  Newton's method from there shrinks the
    support to the right one in a few steps (Michelot's algorithm), without a sort, and the
    threshold is then exact.  With s the indicator of the support the derivative is
    :math:`\mathrm{d}p = s\,(\mathrm{d}x - \langle s,\mathrm{d}x\rangle/\lVert s\rVert_1)`.
    Masks, empty rows, NaN and infinities as in :func:`anymax.softmax`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.sparsemax(np.asarray([1.0, 0.5, -1.0]))
    array([0.75, 0.25, 0.  ])

    References
    ----------
    .. [1] A. F. T. Martins, R. F. Astudillo, "From Softmax to Sparsemax: A Sparse Model of
       Attention and Multi-Label Classification", ICML 2016, arXiv:1602.02068.
    """
    r = rows("sparsemax", x, axis, where)
    y = row_threshold(r.x, r.where, None, axis=r.axis, kind="entmax", value=2.0, scale=1.0)
    return r.finish(y)


@form(
    shapes="x: ... C -> ... C", papers=("1905.05702",), cost="O(n)", primitives=("row_threshold",)
)
def entmax15(
    x: Array, /, *, axis: int | tuple[int, ...] | None = -1, where: Array | None = None
) -> Array:
    r"""Entmax with alpha = 1.5: half-way between softmax and sparsemax, smooth where it becomes 0.

    .. math:: p_i = \left[\tfrac12 x_i-\tau\right]_+^2,\qquad \sum_i p_i = 1

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    array (..., C)
        Weights in [0, 1], exactly 0 for small logits.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    Newton's method on the norm :math:`\sqrt{\sum_i p_i}`, which is convex in the threshold,
    converges from one side; no variance is taken as a difference of two sums, as sorting
    algorithms do.  The derivative is that of :func:`anymax.entmax` with :math:`s=\sqrt p`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.entmax15(np.asarray([1.0, 1.0, -1.0]))
    array([0.5, 0.5, 0. ])

    References
    ----------
    .. [1] B. Peters, V. Niculae, A. F. T. Martins, "Sparse Sequence-to-Sequence Models", ACL 2019,
       arXiv:1905.05702.
    """
    r = rows("entmax15", x, axis, where)
    y = row_threshold(r.x, r.where, None, axis=r.axis, kind="entmax", value=1.5, scale=1.0)
    return r.finish(y)


@form(
    shapes="x: ... C -> ... C",
    papers=("1905.05702", "1909.00015"),
    cost="O(n)",
    primitives=("row_threshold", "row_softmax"),
)
def entmax(
    x: Array,
    /,
    *,
    alpha: float | Array = 1.5,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Weights that maximise their mean logit plus their Tsallis entropy of order alpha.

    .. math:: p = \arg\max_{p\in\Delta}\ \langle p,x\rangle+\frac{1-\sum_i p_i^\alpha}
              {\alpha(\alpha-1)},\qquad p_i = \left[1+(\alpha-1)(x_i-t)\right]_+^{1/(\alpha-1)}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    alpha : float or array
        At least 1: 1 is softmax, 2 is sparsemax.  An array has size 1 along `axis`, and is
        differentiated too.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    array (..., C)
        Weights in [0, 1] that sum to one; exactly 0 for small logits if alpha > 1.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; an alpha below 1 is refused.

    Notes
    -----
    The formula in t goes over into the exponential as alpha goes to 1, with no loss of digits;
    :math:`\tau=(\alpha-1)t-1` is the threshold of the papers.  With :math:`s=p^{2-\alpha}` on the
    support, :math:`\mathrm{d}p = s\,(\mathrm{d}x-\langle s,\mathrm{d}x\rangle/\lVert s\rVert_1)`,
    infinite at the edge of the support for alpha > 2.  A weight near that edge is a small number
    to the power 1 / (alpha - 1): for large alpha it loses digits.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.entmax(np.asarray([1.0, 0.5, -1.0]), alpha=2.0)
    array([0.75, 0.25, 0.  ])
    >>> am.entmax(np.log(np.asarray([1.0, 2.0, 5.0])), alpha=1.0)
    array([0.125, 0.25 , 0.625])

    References
    ----------
    .. [1] B. Peters, V. Niculae, A. F. T. Martins, "Sparse Sequence-to-Sequence Models", ACL 2019,
       arXiv:1905.05702.
    .. [2] G. M. Correia, V. Niculae, A. F. T. Martins, "Adaptively Sparse Transformers", EMNLP
       2019, arXiv:1909.00015.
    """
    r, parameter, value = with_parameter("entmax", x, axis, where, AT_LEAST_ONE, alpha=alpha)
    if parameter is None and value == 1.0:
        return r.finish(row_softmax(r.x, r.where, axis=r.axis, scale=1.0))
    y = row_threshold(r.x, r.where, parameter, axis=r.axis, kind="entmax", value=value, scale=1.0)
    return r.finish(y)


@form(
    shapes="x: ... C -> ... C", papers=("1901.02324",), cost="O(n)", primitives=("row_threshold",)
)
def normmax(
    x: Array,
    /,
    *,
    alpha: float | Array = 2.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Weights that maximise their mean logit less their norm of order alpha.

    .. math:: p = \arg\max_{p\in\Delta}\ \langle p,x\rangle-\lVert p\rVert_\alpha
              \propto [x-\tau]_+^{1/(\alpha-1)},\qquad \sum_i[x_i-\tau]_+^{\alpha/(\alpha-1)} = 1

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    alpha : float or array
        Above 1; larger is flatter on a smaller support.  An array has size 1 along `axis`, and is
        differentiated too.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    array (..., C)
        Weights in [0, 1] that sum to one, exactly 0 for small logits.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; an alpha of 1 or less is refused.

    Notes
    -----
    The threshold is that of an entmax of order :math:`2-1/\alpha` on the logits times
    :math:`\alpha/(\alpha-1)`, so one solver serves both.  Equal logits share equally, whatever
    alpha is.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.normmax(np.asarray([1.4, 1.2, 0.0]))
    array([0.57142857, 0.42857143, 0.        ])

    References
    ----------
    .. [1] M. Blondel, A. F. T. Martins, V. Niculae, "Learning with Fenchel-Young Losses", JMLR 21,
       2020, arXiv:1901.02324.
    """
    r, parameter, value = with_parameter("normmax", x, axis, where, ABOVE_ONE, alpha=alpha)
    y = row_threshold(r.x, r.where, parameter, axis=r.axis, kind="normmax", value=value, scale=1.0)
    return r.finish(y)


@form(shapes="x: ... C -> ... C", papers=("classic",), cost="O(n)", primitives=("row_threshold",))
def budget_sparsemax(
    x: Array,
    /,
    *,
    budget: float | Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Euclidean projection of the logits onto weights in [0, 1] that sum to a budget.

    .. math:: p = \arg\max_{0\le p\le1,\ \sum p=B}\ \langle p,x\rangle-\tfrac12\lVert p\rVert^2
              = \min(1,[x-\tau]_+)

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    budget : float or array
        The sum B, not negative; an array has size 1 along `axis`, and is differentiated too.
    axis : int, tuple of ints or None
        Axes to sum over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    array (..., C)
        Weights in [0, 1]; all 1 when the budget is at least the number of logits that take part.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; a negative budget is refused.

    Notes
    -----
    A budget of 1 is sparsemax.  With s the indicator of weights strictly between 0 and 1,
    :math:`\mathrm{d}p = s\,(\mathrm{d}x-\langle s,\mathrm{d}x\rangle/\lVert s\rVert_1)` and
    :math:`\partial p/\partial B=s/\lVert s\rVert_1`.  The definition is that of the entmax package
    (k-subsets), where the budget is 2 by default.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.budget_sparsemax(np.asarray([2.0, 0.5, 0.25, -3.0]), budget=2.0)
    array([1.   , 0.625, 0.375, 0.   ])

    References
    ----------
    .. [1] M. Blondel, A. F. T. Martins, V. Niculae, "Learning Classifiers with Fenchel-Young
       Losses: Generalized Entropies, Margins, and Algorithms", AISTATS 2019.
    """
    name = "budget_sparsemax"
    r, parameter, value = with_parameter(name, x, axis, where, AT_LEAST_ZERO, budget=budget)
    y = row_threshold(r.x, r.where, parameter, axis=r.axis, kind="budget", value=value, scale=1.0)
    return r.finish(y)
