"""An output layer for spherical losses: exact gradients and steps, however many its classes."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses.classification import _factored
from anymax.primitives._masked import select

_PAPERS = ("1412.7091", "1604.08859")


@form(
    shapes="h: m D, index: m K -> m K, m, m", papers=_PAPERS, level="module",
    cost="O(m D^2 + m K D)",
)  # fmt: skip
def factored_forward(
    h: Array, index: Array, layer: tuple[Array, ...], /
) -> tuple[Array, Array, Array]:
    r"""Requested logits of a factored layer, and sum of squares and sum of all of them.

    .. math:: a_{ik} = v_{j_{ik}}^\top U h_i + \omega^\top h_i, \qquad q_i = h_i^\top Q h_i, \qquad
        s_i = \bar w^\top h_i

    Parameters
    ----------
    h : array (m, D)
        Inputs of m examples.
    index : integer array (m, K)
        Classes that each example asks for, its target among them; -1 for none.
    layer : tuple of arrays (C, D), (D, D), (D, D), (D,), (D, D), (D,)
        v, u, u_inv_t, omega, gram and w_sum: the weights are :math:`W = V U + 1\omega^\top`, and
        :math:`U^{-\top}`, :math:`Q = W^\top W` and :math:`\bar w = W^\top 1` are kept beside them.
        For weights w it starts as
        ``(w, eye(D), eye(D), zeros(D), w.T @ w, w.sum(axis=0))``.

    Returns
    -------
    a : array (m, K)
        Logits of the requested classes, 0 where there is none.
    q : array (m,)
        Sum of the squares of all C logits.
    s : array (m,)
        Sum of all C logits.

    Raises
    ------
    TypeError, ValueError, IndexError
        `layer` is no tuple of six arrays, a dtype or shape does not fit, or `index` holds no class.

    Notes
    -----
    A loss is spherical if it is a function of these; its derivatives by them go to
    :func:`anymax.losses.factored_backward_update`.  C rows of which only K an example are read.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> w, h = np.asarray([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]]), np.asarray([[1.0, 2.0]])
    >>> layer = (w, np.eye(2), np.eye(2), np.zeros(2), w.T @ w, w.sum(axis=0))
    >>> am.losses.factored_forward(h, np.asarray([[2]]), layer)
    (array([[6.]]), array([37.]), array([7.]))

    References
    ----------
    .. [1] P. Vincent, A. de Brebisson, X. Bouthillier, "Efficient exact gradient update for
       training deep networks with very large sparse targets", NIPS 2015, arXiv:1412.7091.
    .. [2] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859, 2016.
    """
    xp, dtype, h, requests, state, _ = _factored.prepared("factored_forward", h, index, layer)
    a = _factored.logits(xp, h, requests, state)
    q = xp.sum(h * xp.matmul(h, state.gram), axis=-1)
    s = xp.sum(h * state.w_sum, axis=-1)
    return _array.cast(xp, a, dtype), _array.cast(xp, q, dtype), _array.cast(xp, s, dtype)


@form(
    shapes="h: m D, index: m K, da: m K, dq: m, ds: m -> m D, C D", papers=_PAPERS, level="module",
    cost="O(m D^2 + m^2 (D + K^2) + m^3), and C D to copy v",
)  # fmt: skip
def factored_backward_update(
    h: Array,
    index: Array,
    da: Array,
    dq: Array,
    ds: Array,
    layer: tuple[Array, ...],
    /,
    *,
    lr: float,
    refresh: bool = False,
    return_rows: bool = False,
) -> tuple[Array, tuple[Array, ...]]:
    r"""Exact step of gradient descent on a factored layer, and the gradient by its inputs.

    .. math:: W \leftarrow W - \eta\, G^\top H, \qquad
        G_{ij} = \dot s_i + 2\dot q_i\, w_j^\top h_i + \sum_{k:\,j_{ik} = j} \dot a_{ik}, \qquad
        \dot H = G\,W

    Parameters
    ----------
    h : array (m, D)
        Inputs of m examples.
    index : integer array (m, K)
        Classes that each example asked for, repeated or not; -1 for none.
    da : array (m, K)
        Derivatives of the loss by the requested logits, with q and s held fixed.
    dq : array (m,)
        Derivatives by the sums of squares.
    ds : array (m,)
        Derivatives by the sums.
    layer : tuple of arrays (C, D), (D, D), (D, D), (D,), (D, D), (D,)
        As in :func:`anymax.losses.factored_forward`.
    lr : float
        Step size :math:`\eta`.
    refresh : bool
        Write the weights out after the step, O(C D^2): v becomes W, u the identity, and all that
        depends on them is computed anew.
    return_rows : bool
        Return, in the place of the new v, its new rows (m, K, D) at `index` alone.  The caller
        writes them, ``v[index] = rows``, and C drops out of the cost.

    Returns
    -------
    dh : array (m, D)
        Gradient by the inputs.
    layer : tuple of six arrays
        The layer after the step; no argument is written to.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.losses.factored_forward`; `refresh` and `return_rows` together.

    Notes
    -----
    G is never formed: all rows of W move through the (D, D) array U, and only requested rows of V
    by themselves.  A pure function has to copy v; ``jax.jit`` with donated arguments does not, and
    with `return_rows` nothing does.

    Rounding adds up in gram and w_sum, and V loses the digits of W as U becomes small or ill
    conditioned, fast under a squared error with large steps.  Refresh before the singular values
    of u have left [0.01, 100] or so; with one in 100 steps, 1,000 steps stay within 1e-10 of the
    dense ones in float64.
    U becomes singular when :math:`2\eta\,\dot q_i |h_i|^2 = 1` for a lone example: refresh and take
    a smaller step.  Rows that are asked for with -1 are not moved.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> w, h = np.asarray([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]]), np.asarray([[1.0, 2.0]])
    >>> layer = (w, np.eye(2), np.eye(2), np.zeros(2), w.T @ w, w.sum(axis=0))
    >>> two, one, none = np.asarray([[-2.0]]), np.asarray([1.0]), np.asarray([0.0])
    >>> step = am.losses.factored_backward_update  # of q - 2 a + 1, the squared error
    >>> dh, (v, u, *rest) = step(h, np.asarray([[2]]), two, one, none, layer, lr=0.125)
    >>> dh, v @ u + rest[1]
    (array([[ 2., 30.]]), array([[ 0.75, -0.5 ],
           [ 2.  , -1.  ],
           [-1.25,  0.5 ]]))
    >>> w - 0.125 * (2 * h @ w.T + two * (np.arange(3) == 2)).T @ h
    array([[ 0.75, -0.5 ],
           [ 2.  , -1.  ],
           [-1.25,  0.5 ]])

    References
    ----------
    .. [1] P. Vincent, A. de Brebisson, X. Bouthillier, "Efficient exact gradient update for
       training deep networks with very large sparse targets", NIPS 2015, arXiv:1412.7091.
    .. [2] A. de Brebisson, P. Vincent, "The Z-loss: a shift and scale invariant classification loss
       belonging to the Spherical Family", arXiv:1604.08859, 2016.
    """
    name = "factored_backward_update"
    if refresh and return_rows:
        raise ValueError(f"{name}: refresh writes all of v; it goes without return_rows")
    xp, dtype, h, requests, state, g = _factored.prepared(
        name, h, index, layer, da=da, dq=dq, ds=ds
    )
    grads = _factored.Gradients(select(xp, requests.there, g[0]), *g[1:])
    dh, rows, state = _factored.step(xp, h, requests, grads, state, float(lr))
    if not return_rows:
        rows = _factored.with_rows(xp, state.v, requests.index, rows)
    state = state._replace(v=rows)
    if refresh:
        state = _factored.refreshed(xp, state)
    return _array.cast(xp, dh, dtype), tuple(_array.cast(xp, x, dtype) for x in state)
