"""Margins by which one query attends to a chosen token, and the hinge loss of them."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses._targets import check_labels
from anymax.losses.theory._tokens import Tokens, tokens
from anymax.primitives._masked import select
from anymax.primitives._selection import one_hot

_PAPER = ("2308.16898",)
_MARGINS = "x: ... T D, z: ... D, w: D D"


@form(
    shapes=f"{_MARGINS}, index: ... -> ... T", papers=_PAPER, cost="O(n T D + n D^2)",
    level="module",
)  # fmt: skip
def attention_margins(
    x: Array, z: Array, w: Array, index: Array, /, *, where: Array | None = None
) -> Array:
    r"""By how much the logit of a chosen token exceeds those of the others.

    .. math:: m_t = (x_\alpha - x_t)^\top W z

    Parameters
    ----------
    x : array (..., T, D)
        T tokens of each example.
    z : array (..., D)
        The query token of each example.
    w : array (D, D)
        Product of the key and query weights.
    index : integer array (...)
        :math:`\alpha`, the chosen token; -1 for an example without one.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.

    Returns
    -------
    array (..., T)
        Margins; +inf at the chosen token, at masked ones, and where none is chosen, so that the
        minimum of a row is its margin.  -inf beside a chosen token that is masked itself.

    Raises
    ------
    TypeError, ValueError
        `index` is not integer, or shapes don't fit.
    IndexError
        An index outside [-1, T), on arrays whose values are at hand.

    Notes
    -----
    Linear in W.  The attention SVM minimises the Frobenius norm of W (its nuclear norm where
    :math:`W = K Q^\top` is trained by its factors) with all margins at least 1; scaled by R, its
    solution gives the chosen tokens a weight of at least :math:`1 - (T - 1) e^{-R}`.  There is no
    solution if another token equals the chosen one.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, z = np.asarray([[[2.0], [0.5]]]), np.ones((1, 1))
    >>> am.losses.attention_margins(x, z, np.eye(1), np.asarray([0]))
    array([[inf, 1.5]])

    References
    ----------
    .. [1] D. A. Tarzanagh, Y. Li, C. Thrampoulidis, S. Oymak, "Transformers as support vector
       machines", 2023, equation (Att-SVM). arXiv:2308.16898.
    """
    case, margin, compared = _margins("attention_margins", x, z, w, index, where)
    return case.finish(select(case.xp, compared, margin, case.xp.inf))


def _margins(
    function: str, x: Array, z: Array, w: Array, index: Array, where: Array | None
) -> tuple[Tokens, Array, Array]:
    """Margins (..., T), 0 where there is none, and which tokens are compared with the chosen."""
    _array.required(function, index=index)
    _array.namespace(function, x=x, index=index)
    case = tokens(function, f"{_MARGINS} ->", x, where, z=z, w=w)
    xp, count = case.xp, case.x.shape[-2]
    if not _array.is_integer(index):
        raise TypeError(
            f"{function}: index has dtype {_array.dtype_name(index)}; an integer dtype fits"
        )
    rows = tuple(case.x.shape[:-2])
    _array.check_broadcast(function, "index", index, rows, "the examples")
    index = xp.broadcast_to(_array.as_index(xp, index), rows)
    check_labels(xp, function, index, index != -1, count, "-1")
    chosen = one_hot(xp, index, count, -1, xp.bool)
    compared = case.keep & ~chosen & (index != -1)[..., None]
    best = xp.sum(select(xp, chosen[..., None], case.x), axis=-2, keepdims=True)
    gap = select(xp, compared[..., None], best - case.x)
    margin = xp.sum(gap * case.query(*case.arrays)[..., None, :], axis=-1)
    masked = compared & ~xp.any(chosen & case.keep, axis=-1, keepdims=True)
    return case, select(xp, ~masked, select(xp, compared, margin), -xp.inf), compared


@form(shapes=f"{_MARGINS}, index: ... -> ", papers=_PAPER, cost="O(n T D + n D^2)", level="module")
def attention_hinge(
    x: Array,
    z: Array,
    w: Array,
    index: Array,
    /,
    *,
    margin: float | Array = 1.0,
    where: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Mean shortfall of the margins by which a chosen token is attended to.

    .. math:: \ell_t = \max\big(0,\ \mu - (x_\alpha - x_t)^\top W z\big),\qquad t \ne \alpha

    Parameters
    ----------
    x : array (..., T, D)
        T tokens of each example.
    z : array (..., D)
        The query token of each example.
    w : array (D, D)
        Product of the key and query weights.
    index : integer array (...)
        :math:`\alpha`, the chosen token; -1 for an example without one.
    margin : float or array, broadcastable to (..., T)
        :math:`\mu`.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.
    reduction : {"mean", "sum", "none"}
        The mean is over all pairs of a chosen and another token.

    Returns
    -------
    array () or (..., T)
        A scalar, or the shortfalls with ``reduction="none"``: 0 at the chosen tokens.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.losses.attention_margins`.

    Notes
    -----
    0 exactly where W separates with the margin :math:`\mu`.  A chosen token that is masked costs
    +inf beside every other.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, z = np.asarray([[[2.0], [0.5], [1.5]]]), np.ones((1, 1))
    >>> float(am.losses.attention_hinge(x, z, np.eye(1), np.asarray([0])))
    0.25

    References
    ----------
    .. [1] D. A. Tarzanagh, Y. Li, C. Thrampoulidis, S. Oymak, "Transformers as support vector
       machines", 2023, equation (Att-SVM). arXiv:2308.16898.
    """
    name = "attention_hinge"
    check_reduction(name, reduction)
    if _array.is_scalar(margin):
        margin = float(margin)
    else:
        _array.required(name, margin=margin)
        xp = _array.namespace(name, x=x, margin=margin)
        x, z, w, margin = _array.promote(xp, name, x=x, z=z, w=w, margin=margin)
        _array.check_broadcast(name, "margin", margin, x.shape[:-1], "the unreduced loss")
        margin = _array.widen(xp, margin)
    case, gap, compared = _margins(name, x, z, w, index, where)
    short = margin - gap
    loss = select(case.xp, ~(short <= 0), short)  # NaN stays
    return case.finish(reduced(case.xp, loss, reduction, live=compared))
