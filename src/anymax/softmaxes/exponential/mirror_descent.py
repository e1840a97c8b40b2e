"""Mirror descent on the simplex: softmax of summed losses, and its optimistic variants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.primitives._masked import safe_max, select
from anymax.primitives.row_softmax import row_log_softmax, row_softmax
from anymax.softmaxes._operands import common_shape, operands, spread, summed, times
from anymax.softmaxes._rows import rows

Projection = Callable[[Array], Array]


@form(
    shapes="log_w: ... n, grad: ... n -> ... n",
    papers=("classic",),
    cost="O(n)",
    primitives=("row_log_softmax",),
)
def entropic_mirror_step(
    log_w: Array,
    grad: Array,
    /,
    *,
    eta: float | Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Mirror descent step on the simplex with the entropy as its mirror map.

    .. math::

        \log w' = \log\mathrm{softmax}(\log w - \eta\, g), \qquad
        w' = \arg\min_{p\in\Delta}\ \eta\langle g, p\rangle + \mathrm{KL}(p \,\|\, w)

    Parameters
    ----------
    log_w : array (..., n)
        Logarithms of the weights, normalised or not; -inf is an expert that is out for good.
    grad : array (..., n)
        Gradient, or losses of the experts; broadcasts with `log_w`.
    eta : float or array
        Step size, at least 0; an array has size 1 along `axis` and is differentiated.
    axis : int, tuple of ints or None
        Axes of the experts; None means all of them.
    where : boolean array, broadcastable to `log_w`
        True where an expert takes part.

    Returns
    -------
    array (..., n)
        Normalised log-weights.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`, and if the arrays don't broadcast or `eta` is negative.

    Notes
    -----
    A loss of +inf (with eta > 0) ends an expert.  Products of weights underflow after about
    700 / eta steps; logarithms don't.  t steps of constant eta give the softmax of the summed
    losses.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> w = am.entropic_mirror_step(np.zeros(2), np.log(np.asarray([1.0, 3.0])), eta=1.0)
    >>> np.exp(w)
    array([0.75, 0.25])

    References
    ----------
    .. [1] A. Beck, M. Teboulle, "Mirror descent and nonlinear projected subgradient methods for
       convex optimization", Operations Research Letters 31(3), 2003.
    """
    name = "entropic_mirror_step"
    _array.required(name, log_w=log_w, grad=grad)
    _check_eta(name, eta)
    ops = operands(name, log_w=log_w, grad=grad, eta=eta)
    xp, (x, g, eta) = ops.xp, ops.arrays
    shape = common_shape(name, log_w=x, grad=g)
    _array.check_mask(name, "where", where, shape, "log_w")
    x, g = spread(xp, x, shape), spread(xp, g, shape)
    keep = x != -xp.inf if where is None else (x != -xp.inf) & where
    z, keep = summed(xp, keep, x, -times(xp, eta, select(xp, keep, g)))
    r = rows(name, z, axis, keep)
    return ops.finish(r.finish(row_log_softmax(r.x, r.where, axis=r.axis, scale=r.scale)))


def _check_eta(function: str, eta: Any) -> None:
    if eta is None:
        raise TypeError(f"{function}: eta is None; a step size of at least 0 fits")
    if _array.is_scalar(eta) and not (eta >= 0 and math.isfinite(eta)):
        raise ValueError(f"{function}: eta is {eta}; a finite step size of at least 0 fits")


def _steps(xp: Any, eta: Any) -> Any:
    """Step sizes against losses (..., T, n): one for all, or one a round."""
    return eta if _array.is_scalar(eta) or eta.ndim == 0 else eta[..., None]


@form(
    shapes="losses: ... T n -> ... T n",
    papers=("2302.04552",),
    cost="O(T n)",
    primitives=("row_softmax",),
)
def optimistic_hedge(
    losses: Array,
    /,
    *,
    eta: float | Array,
    hints: Array | None = None,
    log_prior: Array | None = None,
) -> Array:
    r"""Plays of optimistic Hedge: before each loss comes, a guess of it counts already.

    .. math:: p_t = \mathrm{softmax}\Big(\log\pi - \sum_{s<t}\eta_s\,\ell_s - \eta_t\, m_t\Big)

    Parameters
    ----------
    losses : array (..., T, n)
        Losses of n experts in T rounds, as they turned out.
    eta : float or array (T,)
        Step sizes, at least 0.
    hints : array (..., T, n), optional
        Guesses :math:`m_t` of the losses; by default the loss before, 0 in the first round.
    log_prior : array (n,) or (..., n), optional
        Logarithms of the weights to start from; uniform by default.

    Returns
    -------
    array (..., T, n)
        The weights played in each round; row t depends on losses before round t only.

    Raises
    ------
    TypeError, ValueError
        The shapes don't fit, or `eta` is negative.

    Notes
    -----
    One cumulative sum and one softmax, whatever the step sizes: mirror descent with entropy as its
    map adds :math:`\eta_s\ell_s` to the exponent, and normalising in between changes nothing.
    Each round's least loss is taken off first, so a constant shared by the experts costs no digits.
    Hints of 0 give plain Hedge, hints equal to the losses "be the leader".  For losses
    with values in [0, 1] the regret is at most
    :math:`\log n/\eta + \eta\sum_t \|\ell_t - m_t\|_\infty^2`.
    A loss of +inf ends an expert (its later losses are not looked at); a prior of -inf keeps it
    out.  When no expert is left the play is 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> losses = np.log(np.asarray([[1.0, 2.0], [1.0, 2.0]]))
    >>> am.optimistic_hedge(losses, eta=1.0)
    array([[0.5, 0.5],
           [0.8, 0.2]])

    References
    ----------
    .. [1] S. Chen, W.-W. Tu, P. Zhao, L. Zhang, "Optimistic online mirror descent for bridging
       stochastic and adversarial online convex optimization", arXiv:2302.04552, 2023.  The
       entropic case is the textbook one; the paper's own analysis uses other maps.
    """
    name = "optimistic_hedge"
    _array.required(name, losses=losses)
    _check_eta(name, eta)
    ops = operands(name, losses=losses, eta=eta, hints=hints, log_prior=log_prior)
    xp, (g, eta, m, prior) = ops.xp, ops.arrays
    _check_rounds(name, g, hints=m)
    shape = tuple(g.shape)
    prior = _prior(xp, name, prior, shape, g)
    m = _delayed(xp, g) if m is None else spread(xp, m, shape)
    step = _steps(xp, eta)
    past, alive = _past_losses(xp, g, step, prior != -xp.inf)
    hint = times(xp, step, select(xp, alive, m))
    z, keep = summed(xp, alive, select(xp, alive, prior), -past, -hint)
    return ops.finish(row_softmax(z, keep, axis=(len(shape) - 1,), scale=1.0))


def _prior(xp: Any, function: str, prior: Array | None, shape: tuple, g: Array) -> Array:
    """Log-weights to start from, in every round."""
    if prior is None:
        return xp.zeros_like(g)
    _array.check_broadcast(function, "log_prior", prior, (*shape[:-2], shape[-1]), "(..., n)")
    return spread(xp, xp.expand_dims(prior, axis=-2) if prior.ndim > 1 else prior, shape)


def _check_rounds(function: str, losses: Array, **others: Array | None) -> None:
    if losses.ndim < 2:
        raise ValueError(
            f"{function}: the first array has shape {_array.shape_text(losses.shape)}; (..., T, n) "
            "is needed: rounds, then experts"
        )
    for name, x in others.items():
        if x is not None:
            _array.check_broadcast(function, name, x, losses.shape, "the losses")


def _delayed(xp: Any, g: Array) -> Array:
    """The loss of the round before, 0 in the first."""
    if g.shape[-2] == 0:
        return xp.zeros_like(g)
    return xp.concat([xp.zeros_like(g[..., :1, :]), g[..., :-1, :]], axis=-2)


def _before(xp: Any, x: Array) -> Array:
    """Sums over all earlier rounds."""
    return xp.cumulative_sum(_delayed(xp, x), axis=x.ndim - 2)


def _past_losses(xp: Any, g: Array, step: Any, alive: Array) -> tuple[Array, Array]:
    """Summed steps before each round, up to a constant a round, and who is left in each."""
    g = times(xp, step, select(xp, alive, g))
    fatal = alive & (g == xp.inf)
    count = xp.astype(fatal, xp.int32)
    alive = alive & (_before(xp, count) == 0)
    lasting = alive & ~fatal
    g = select(xp, lasting, g)
    least = safe_max(xp, -stop_gradient(g), lasting & xp.isfinite(g), (g.ndim - 1,))
    return _before(xp, select(xp, lasting, g + least)), alive


@form(
    shapes="grads: ... T n, x0: ... n -> ... T n",
    papers=("2302.04552",),
    level="module",
    cost="O(T n log n)",
)
def optimistic_mirror_descent(
    grads: Array,
    x0: Array,
    /,
    *,
    eta: float | Array,
    hints: Array | None = None,
    projection: str | Projection = "simplex",
) -> Array:
    r"""Plays of optimistic projected gradient descent for a given sequence of gradients.

    .. math::

        x_t = P(\hat x_t - \eta_t m_t), \qquad \hat x_{t+1} = P(\hat x_t - \eta_t g_t)

    Parameters
    ----------
    grads : array (..., T, n)
        Gradients at the plays of T rounds.
    x0 : array (..., n)
        The point to start from.
    eta : float or array (T,)
        Step sizes, at least 0.
    hints : array (..., T, n), optional
        Guesses :math:`m_t` of the gradients; by default the one before, 0 in the first round.
    projection : {"simplex", "ball", "box"} or callable
        Onto the probability simplex, the Euclidean unit ball, the box :math:`[-1, 1]^n`, or a
        function of arrays (..., n).

    Returns
    -------
    array (..., T, n)
        The points played.

    Raises
    ------
    TypeError, ValueError
        The shapes don't fit, `eta` is negative, or `projection` has no meaning.

    Notes
    -----
    Two projections a round, one round after the other: nothing sums up here as it does for the
    entropy, see :func:`anymax.optimistic_hedge`.  The paper gives no algorithm of this name for a
    fixed sequence; this is its update with the Euclidean map.  The paper's adaptive step sizes have
    constants that could not be confirmed, so `eta` is an argument.  The projection onto the simplex
    is sparsemax.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> g = np.asarray([[1.0, 0.0], [1.0, 0.0]])
    >>> am.softmaxes.optimistic_mirror_descent(g, np.asarray([0.5, 0.5]), eta=0.25)
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])

    References
    ----------
    .. [1] S. Chen, W.-W. Tu, P. Zhao, L. Zhang, "Optimistic online mirror descent for bridging
       stochastic and adversarial online convex optimization", arXiv:2302.04552, 2023.
    """
    name = "optimistic_mirror_descent"
    _array.required(name, grads=grads, x0=x0)
    _check_eta(name, eta)
    project = _projection(name, projection)
    ops = operands(name, grads=grads, x0=x0, eta=eta, hints=hints)
    xp, (g, x, eta, m) = ops.xp, ops.arrays
    _check_rounds(name, g, hints=m)
    _array.check_broadcast(name, "x0", x, (*g.shape[:-2], g.shape[-1]), "(..., n)")
    m = _delayed(xp, g) if m is None else spread(xp, m, tuple(g.shape))
    step = _steps(xp, eta)
    g, m = times(xp, step, g), times(xp, step, m)
    plays = []
    for t in range(g.shape[-2]):
        plays.append(project(x - m[..., t, :]))
        x = project(x - g[..., t, :])
    return ops.finish(xp.stack(plays, axis=-2) if plays else g + 0.0)


def _projection(function: str, projection: Any) -> Projection:
    if callable(projection):
        return projection
    known = {"simplex": _onto_simplex, "ball": _onto_ball, "box": _onto_box}
    if projection not in known:
        raise ValueError(
            f"{function}: projection is {projection!r}; one of {', '.join(map(repr, known))} or a "
            "callable fits"
        )
    return known[projection]


def _onto_simplex(x: Array) -> Array:
    """The nearest probability vector; its support is found on constants."""
    xp = _array.namespace("projection", x=x)
    n = x.shape[-1]
    ranked = -xp.sort(-stop_gradient(x), axis=-1)
    rank = _array.cast(xp, _array.arange(xp, n, x) + 1, x.dtype)
    fits = ranked * rank > xp.cumulative_sum(ranked, axis=-1) - 1.0
    least = xp.min(select(xp, fits, ranked, xp.inf), axis=-1, keepdims=True)
    inside = stop_gradient(x) >= least
    inside = inside | xp.isnan(x)  # NaN stays in sight
    # Ties at the edge of the support are in it together, so the size counts what is inside.
    size = xp.sum(xp.astype(inside, x.dtype), axis=-1, keepdims=True)
    size = select(xp, size > 0, size, 1.0)
    threshold = (xp.sum(select(xp, inside, x), axis=-1, keepdims=True) - 1.0) / size
    bad = xp.isnan(threshold)
    return xp.where(inside | bad, x - threshold, xp.zeros_like(x))


def _onto_ball(x: Array) -> Array:
    xp = _array.namespace("projection", x=x)
    square = xp.sum(x * x, axis=-1, keepdims=True)
    outside = square > 1.0
    norm = xp.sqrt(select(xp, outside, square, 1.0))
    return x / norm


def _onto_box(x: Array) -> Array:
    xp = _array.namespace("projection", x=x)
    return xp.clip(x, -1.0, 1.0)
