"""Sinkhorn normalisation: transport plans, and softmaxes of rows and columns at once."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.primitives._masked import kept, select
from anymax.primitives.row_softmax import row_logsumexp, row_softmax
from anymax.softmaxes._operands import check_count, operands
from anymax.softmaxes._rows import rows
from anymax.softmaxes.stochastic._perturbed import perturbed


@form(
    shapes="scores: ... n m -> ... n m",
    papers=("1306.0895",),
    cost="O(n m num_iters)",
    primitives=("row_softmax", "row_logsumexp"),
)
def sinkhorn(
    scores: Array,
    /,
    *,
    a: Array | None = None,
    b: Array | None = None,
    where: Array | None = None,
    temperature: float | Array = 1.0,
    num_iters: int = 20,
    tol: float | None = None,
) -> Array:
    r"""Exponentials of scores, rescaled in turn by columns and rows to given sums.

    .. math::

        P_{ij} = e^{f_i + s_{ij}/T + g_j}, \qquad \sum_j P_{ij} = a_i, \qquad \sum_i P_{ij} \to b_j

    Parameters
    ----------
    scores : array (..., n, m)
        Scores; minus the costs of a transport.  -inf forbids a pair.
    a : array (n,) or (..., n), optional
        Row sums, at least 0; one each by default, or equal ones that sum to what `b` does.
    b : array (m,) or (..., m), optional
        Column sums; equal ones that sum to what the rows do by default.
    where : boolean array, broadcastable to `scores`
        True where a pair is allowed.
    temperature : float or array
        Divides the scores; positive, an array (..., 1, 1).  POT calls it reg.
    num_iters : int
        Iterations, each of a column step and a row step.
    tol : float, optional
        A problem stops, and keeps its plan, once no column sum is off by more.

    Returns
    -------
    array (..., n, m)
        The plan; row sums are right to rounding, column sums in the limit.

    Raises
    ------
    TypeError, ValueError
        The arrays don't fit, `temperature` is not positive, `num_iters` not a positive integer.

    Notes
    -----
    In logarithms, so no temperature is too low for the arithmetic; but convergence is linear with
    a factor :math:`\tanh^2(\mathrm{osc}(s)/4T)` at worst, and low temperatures need many
    iterations.  The derivative is that of the iteration, unrolled.  The last half step normalises
    rows, as in POT.  A row with sum 0 or with no pair gives 0; so do columns, whose sums the others
    can then not make up for.  Sums that disagree in total don't converge: rows win.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.sinkhorn(np.log(np.asarray([[1.0, 2.0], [2.0, 1.0]]))).round(6)
    array([[0.333333, 0.666667],
           [0.666667, 0.333333]])

    References
    ----------
    .. [1] M. Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport",
       arXiv:1306.0895, 2013.
    .. [2] R. Sinkhorn, P. Knopp, "Concerning nonnegative matrices and doubly stochastic matrices",
       Pacific Journal of Mathematics 21(2), 1967.
    """
    name = "sinkhorn"
    _array.required(name, scores=scores)
    num_iters = check_count(name, "num_iters", num_iters)
    if scores.ndim < 2:
        raise ValueError(
            f"{name}: scores has shape {_array.shape_text(scores.shape)}; (..., n, m) is needed"
        )
    ops = operands(name, scores=scores, a=a, b=b, temperature=temperature)
    xp, (x, a, b, temperature) = ops.xp, ops.arrays
    _array.check_mask(name, "where", where, x.shape, "scores")
    r = rows(name, x, (-2, -1), where, temperature)
    keep = kept(xp, r.x, r.where)
    z = select(xp, keep, r.x) * r.scale
    a, b = _sums(name, xp, z, a, b)
    return ops.finish(_plan(xp, z, keep, a, b, num_iters, tol))


def _sums(
    function: str, xp: Any, z: Array, a: Array | None, b: Array | None
) -> tuple[Array, Array]:
    """Row sums (..., n) and column sums (..., m), the missing ones equal."""
    *lead, n, m = z.shape
    if a is not None:
        _array.check_broadcast(function, "a", a, (*lead, n), "rows")
    if b is not None:
        _array.check_broadcast(function, "b", b, (*lead, m), "columns")
    if a is None:
        ones = xp.ones((n,), dtype=z.dtype, device=_array.device(z))
        a = ones if b is None else ones * (xp.sum(b, axis=-1, keepdims=True) / max(n, 1))
    if b is None:
        ones = xp.ones((m,), dtype=z.dtype, device=_array.device(z))
        b = ones * (xp.sum(a, axis=-1, keepdims=True) / max(m, 1))
    return a, b


def _plan(
    xp: Any, z: Array, keep: Array, a: Array, b: Array, num_iters: int, tol: float | None
) -> Array:
    """The iteration on potentials: f of the rows, g of the columns."""
    rows_on, columns_on = a > 0, b > 0
    log_a = xp.log(select(xp, rows_on | xp.isnan(a), a, 1.0))
    log_b = xp.log(select(xp, columns_on | xp.isnan(b), b, 1.0))
    keep = keep & (rows_on | xp.isnan(a))[..., :, None] & (columns_on | xp.isnan(b))[..., None, :]
    row, column = (z.ndim - 1,), (z.ndim - 2,)
    f = xp.zeros_like(xp.sum(z, axis=-1))
    g, done = xp.zeros_like(xp.sum(z, axis=-2)), None
    for i in range(num_iters):
        lse = row_logsumexp(z + f[..., :, None], keep, axis=column, scale=1.0)
        if tol is not None and i:
            done = _settled(xp, lse, g, b, columns_on, tol)
            if _array.values_known(done) and bool(xp.all(done)):
                break
        g = _potential(xp, log_b, lse, g, done)
        if i + 1 < num_iters:
            lse = row_logsumexp(z + g[..., None, :], keep, axis=row, scale=1.0)
            f = _potential(xp, log_a, lse, f, done)
    return row_softmax(z + g[..., None, :], keep, axis=row, scale=1.0) * a[..., :, None]


def _potential(xp: Any, log_sum: Array, lse: Array, old: Array, done: Array | None) -> Array:
    """What makes the sums right; 0 where there is nothing to sum.  Settled problems keep theirs."""
    some = lse != -xp.inf
    new = select(xp, some, log_sum - select(xp, some, lse))
    return new if done is None else xp.where(done, old, new)


def _settled(xp: Any, lse: Array, g: Array, b: Array, on: Array, tol: float) -> Array:
    """Whether all column sums of a problem are near enough, (..., 1)."""
    live = (lse != -xp.inf) & on
    total = xp.exp(select(xp, live, stop_gradient(lse)) + select(xp, live, stop_gradient(g)))
    off = select(xp, live, xp.abs(total - stop_gradient(b)))
    return xp.all(off <= tol, axis=-1, keepdims=True)


@form(
    shapes="scores: ... n n, gumbel: ... n n -> ... n n",
    papers=("1802.08665",),
    cost="O(n^2 num_iters)",
    primitives=("row_softmax", "row_logsumexp"),
)
def gumbel_sinkhorn(
    scores: Array,
    gumbel: Array,
    /,
    *,
    where: Array | None = None,
    temperature: float | Array = 1.0,
    num_iters: int = 20,
) -> Array:
    r"""Relaxed random permutation: Sinkhorn normalisation of perturbed scores.

    .. math:: P = \mathrm{sinkhorn}\big((s + g)/T\big)

    Parameters
    ----------
    scores : array (..., n, n)
        Scores of assigning columns to rows.
    gumbel : array (..., n, n)
        Standard Gumbel noise; broadcasts with `scores`.
    where : boolean array, broadcastable to `scores`
        True where a pair is allowed.
    temperature : float or array
        Divides the perturbed scores; positive, an array (..., 1, 1).
    num_iters : int
        Iterations, each of a column step and a row step.

    Returns
    -------
    array (..., n, n)
        Rows that sum to one, and columns that do in the limit.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.sinkhorn`; the matrices are not square.

    Notes
    -----
    As the temperature falls the plan tends to the permutation that is best for the perturbed
    scores.  The noise is an argument, and differentiated too.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> noise = np.asarray([[0.0, 3.0], [1.0, 0.0]])
    >>> am.gumbel_sinkhorn(np.zeros((2, 2)), noise, temperature=0.1).round(3)
    array([[0., 1.],
           [1., 0.]])

    References
    ----------
    .. [1] G. Mena, D. Belanger, S. Linderman, J. Snoek, "Learning latent permutations with
       Gumbel-Sinkhorn networks", arXiv:1802.08665, 2018.
    """
    name = "gumbel_sinkhorn"
    ops, z, keep = perturbed(name, scores, gumbel, where, temperature)
    if z.ndim < 2 or z.shape[-1] != z.shape[-2]:
        raise ValueError(
            f"{name}: scores have shape {_array.shape_text(z.shape)}; (..., n, n) is needed"
        )
    return ops.finish(sinkhorn(z, where=keep, temperature=ops.arrays[2], num_iters=num_iters))
