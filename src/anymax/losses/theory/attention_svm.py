"""A one-query attention head as a classifier: its risk, and the tokens it would best select."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses._targets import signed
from anymax.losses.theory._tokens import Tokens, tokens
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_softmax

_PAPER = ("2308.16898",)
_HEAD = "x: ... T D, z: ... D, w: D D, v: D"


@form(
    shapes=f"{_HEAD} -> ...", papers=_PAPER, cost="O(n T D + n D^2)", level="module",
    primitives=("row_softmax",),
)  # fmt: skip
def attention_head_prediction(
    x: Array, z: Array, w: Array, v: Array, /, *, where: Array | None = None
) -> Array:
    r"""What a linear head reads off the tokens that one query attends to.

    .. math:: \hat y = v^\top X^\top \mathrm{softmax}(X W z)

    Parameters
    ----------
    x : array (..., T, D)
        T tokens of each example.
    z : array (..., D)
        The query token of each example; a row of x in self-attention.
    w : array (D, D)
        Product of the key and query weights, :math:`K Q^\top`.
    v : array (D,)
        Linear head.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.

    Returns
    -------
    array (...)
        A prediction for each example; 0 for one without a token.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, `where` is not boolean, or the shapes don't fit.

    Notes
    -----
    No factor :math:`D^{-1/2}`.  With one token the prediction is its score :math:`v^\top x`,
    whatever W.  In self-attention the official code takes the last token for z.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> v = np.asarray([2.0, 4.0])
    >>> float(am.losses.attention_head_prediction(x, np.zeros(2), np.eye(2), v))
    3.0

    References
    ----------
    .. [1] D. A. Tarzanagh, Y. Li, C. Thrampoulidis, S. Oymak, "Transformers as support vector
       machines", 2023, section 1. arXiv:2308.16898.
    """
    case = tokens("attention_head_prediction", f"{_HEAD} ->", x, where, z=z, w=w, v=v)
    return case.finish(_prediction(case, *case.arrays))


def _prediction(case: Tokens, z: Array, w: Array, v: Array) -> Array:
    p, scores = _weights(case, z, w), case.scores(v)
    return case.xp.sum(select(case.xp, case.keep, p * select(case.xp, case.keep, scores)), axis=-1)


def _weights(case: Tokens, z: Array, w: Array) -> Array:
    h = case.xp.sum(case.x * case.query(z, w)[..., None, :], axis=-1)
    return row_softmax(h, case.keep, axis=(h.ndim - 1,), scale=1.0)


KINDS = ("logistic", "exponential", "correlation")


@form(
    shapes=f"{_HEAD}, target: ... -> ", papers=_PAPER, cost="O(n T D + n D^2)",
    primitives=("row_softmax",),
)  # fmt: skip
def attention_erm_loss(
    x: Array,
    z: Array,
    w: Array,
    v: Array,
    target: Array,
    /,
    *,
    kind: str = "logistic",
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Empirical risk of a one-query attention head, of a decreasing loss of its margin.

    .. math:: \ell_n = \ell(y_n \hat y_n),\qquad
        \hat y_n = v^\top X_n^\top \mathrm{softmax}(X_n W z_n),\qquad
        \ell(u) = \log(1 + e^{-u}),\ e^{-u}\ \text{or}\ {-u}

    Parameters
    ----------
    x : array (..., T, D)
        T tokens of each example.
    z : array (..., D)
        The query token of each example.
    w : array (D, D)
        Product of the key and query weights, :math:`K Q^\top`.
    v : array (D,)
        Linear head.
    target : array (...)
        Labels -1 and +1, or booleans.
    kind : {"logistic", "exponential", "correlation"}
        The loss of the margin u.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.
    weight : array, broadcastable to (...)
        Weights of the examples; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        An example without a token costs 0 and is left out of the mean.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        An unknown kind, labels other than -1 and 1, or shapes that don't fit.

    Notes
    -----
    Gradient descent on W drives the softmax to one token per example, in the direction of the
    maximum-margin separator of :func:`anymax.losses.attention_margins`.  Its gradient shrinks as W
    grows: :func:`anymax.losses.normalized_gradient_step`.  With :math:`W = K Q^\top` and G the
    gradient by W, K has gradient G Q and Q has :math:`G^\top K`.  With one token it is 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([[[1.0, 0.0], [0.0, 1.0]]])
    >>> z, w, v = np.zeros((1, 2)), np.eye(2), np.asarray([2.0, 4.0])
    >>> float(am.attention_erm_loss(x, z, w, v, np.asarray([-1]), kind="correlation"))
    3.0

    References
    ----------
    .. [1] D. A. Tarzanagh, Y. Li, C. Thrampoulidis, S. Oymak, "Transformers as support vector
       machines", 2023, section 1. arXiv:2308.16898.
    """
    name = "attention_erm_loss"
    check_reduction(name, reduction)
    if kind not in KINDS:
        raise ValueError(f"{name}: kind is {kind!r}; one of {', '.join(map(repr, KINDS))} fits")
    _array.required(name, target=target)
    _array.namespace(name, x=x, target=target, weight=weight)
    others = {"z": z, "w": w, "v": v, **({} if weight is None else {"weight": weight})}
    case = tokens(name, f"{_HEAD} ->", x, where, **others)
    xp, rows = case.xp, tuple(case.x.shape[:-2])
    _array.check_broadcast(name, "target", target, rows, "the examples")
    if weight is not None:
        _array.check_broadcast(name, "weight", weight, rows, "the unreduced loss")
    u = _prediction(case, *case.arrays[:3]) * signed(xp, name, target, case.x.dtype)
    loss = _decreasing(xp, select(xp, case.live, u), kind)
    weight = None if weight is None else case.arrays[3]
    return case.finish(reduced(xp, loss, reduction, live=case.live, weight=weight))


def _decreasing(xp: Any, u: Array, kind: str) -> Array:
    if kind == "correlation":
        return -u
    return xp.exp(-u) if kind == "exponential" else xp.logaddexp(-u, xp.zeros_like(u))


@form(shapes="x: ... T D, v: D, target: ... -> ...", papers=_PAPER, cost="O(n T D)", level="module")
def optimal_tokens(x: Array, v: Array, target: Array, /, *, where: Array | None = None) -> Array:
    r"""The token of each example that the head would best attend to alone.

    .. math:: \mathrm{opt} = \arg\max_t\ y\, v^\top x_t

    Parameters
    ----------
    x : array (..., T, D)
        T tokens of each example.
    v : array (D,)
        Linear head.
    target : array (...)
        Labels -1 and +1, or booleans.
    where : boolean array, broadcastable to (..., T)
        True where a token takes part.

    Returns
    -------
    integer array (...)
        Index of the token with the largest score, the first of several; -1 where there is none.

    Raises
    ------
    TypeError, ValueError
        Labels other than -1 and 1, or shapes that don't fit.

    Notes
    -----
    The paper assumes that the largest score is unique.  NaN counts as largest.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.asarray([[[1.0], [3.0], [2.0]]] * 2)
    >>> am.losses.optimal_tokens(x, np.asarray([1.0]), np.asarray([1, -1]))
    array([1, 0])

    References
    ----------
    .. [1] D. A. Tarzanagh, Y. Li, C. Thrampoulidis, S. Oymak, "Transformers as support vector
       machines", 2023, definition 2. arXiv:2308.16898.
    """
    name = "optimal_tokens"
    _array.required(name, target=target)
    _array.namespace(name, x=x, target=target)
    case = tokens(name, "x: ... T D, v: D ->", x, where, v=v)
    xp = case.xp
    _array.check_broadcast(name, "target", target, case.x.shape[:-2], "the examples")
    y = signed(xp, name, target, case.x.dtype)
    score = _array.stop_gradient(case.scores(case.arrays[0]) * y[..., None])
    score = xp.where(xp.isnan(score), xp.full_like(score, xp.inf), score)
    count = score.shape[-1]
    place = _array.arange(xp, count, score)
    if not count:
        return xp.sum(xp.zeros_like(score), axis=-1, dtype=place.dtype) - 1
    best = xp.max(select(xp, case.keep, score, -xp.inf), axis=-1, keepdims=True)
    first = xp.min(xp.where(case.keep & (score == best), place, count), axis=-1)
    return xp.where(first == count, xp.full_like(first, -1), first)
