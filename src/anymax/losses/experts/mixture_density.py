"""Densities of gated mixtures of Gaussian experts, and distances between their parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.losses.experts._mixture import Mixture, Params, checked, named
from anymax.primitives._masked import select
from anymax.primitives._selection import largest, one_hot
from anymax.primitives.row_softmax import row_logsumexp
from anymax.softmaxes._operands import check_count, operands
from anymax.softmaxes._rows import positive
from anymax.softmaxes.gating.gates import ACTIVATIONS

_KINDS = ("exact", "over", "dense_to_sparse", "activation")


@form(
    shapes="x: ... D, y: ... -> ...", papers=("2309.13850", "2401.13875"), cost="O(E D)",
    primitives=("row_logsumexp",),
)  # fmt: skip
def gaussian_moe_log_density(
    x: Array,
    y: Array,
    params: Params,
    /,
    *,
    gate: str = "dense",
    k: int | None = None,
    temperature: float | Array = 1.0,
    activation: str | Callable[[Array], Array] | None = None,
) -> Array:
    r"""Log-density of a mixture of Gaussian experts with a softmax gate.

    .. math::

        \log \sum_{e} g_e(x)\, N(y \mid a_e^\top x + b_e, \nu_e), \qquad
        g(x) = \mathrm{softmax}_{e \in K}\big((\sigma(\beta_{1e}^\top x) + \beta_{0e}) / T\big)

    where K holds all experts, or the k of the largest :math:`\sigma(\beta_{1e}^\top x)`.

    Parameters
    ----------
    x : array (..., D)
        Inputs.
    y : array (...)
        Outputs.
    params : tuple of arrays (E,), (E, D), (E, D), (E,), (E,)
        beta0, beta1 of the gate; slopes a, intercepts b and variances (the papers' sigma or nu) of
        the experts.
    gate : {"dense", "top_k"}
        Whether all experts or `k` of them take part; the bias beta0 counts after the choice.
    k : int, optional
        How many experts ``gate="top_k"`` chooses.
    temperature : float or array ()
        T divides scores and biases; positive.
    activation : {"sigmoid", "tanh", "gelu", "relu"} or callable, optional
        sigma, elementwise; none by default.

    Returns
    -------
    array (...)
        Log-densities.  The likelihood loss is minus their mean.

    Raises
    ------
    TypeError
        An argument has the wrong kind of dtype, or `params` is no tuple of five arrays.
    ValueError
        Shapes do not fit, a variance or the temperature isn't positive, `gate` is unknown, or `k`
        is missing or superfluous.

    Notes
    -----
    A difference of two logsumexps, of log-gate plus log-density and of the gate alone, so that
    nothing underflows far from all experts.  Derivatives are those of responsibilities; the choice
    of experts is a constant, ties go to the lowest index.  Adding one vector to all beta1, or one
    number to all beta0, changes nothing (without an activation).  That the bias is outside of the
    activation is inferred from the second paper's mixing weights.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> zero, one = np.zeros(2), np.ones(2)
    >>> params = (zero, zero[:, None], one[:, None], np.asarray([0.0, 2.0]), one)
    >>> am.gaussian_moe_log_density(np.ones((1, 1)), 2 + np.zeros(1), params)
    array([-1.41893853])

    References
    ----------
    .. [1] H. Nguyen, P. Akbarian, F. Yan, N. Ho, "Statistical perspective of top-K sparse softmax
       gating mixture of experts", arXiv:2309.13850, 2024.
    .. [2] H. Nguyen, P. Akbarian, N. Ho, "Is temperature sample efficient for softmax Gaussian
       mixture of experts?", arXiv:2401.13875, 2024.
    """
    name = "gaussian_moe_log_density"
    if gate not in ("dense", "top_k"):
        raise ValueError(f"{name}: gate is {gate!r}; one of 'dense', 'top_k' fits")
    if (k is None) == (gate == "top_k"):
        raise ValueError(f"{name}: gate is {gate!r} and k is {k!r}; 'top_k' needs a k, alone")
    temperature = _temperature(name, "temperature", temperature)
    _array.required(name, x=x, y=y)
    given = operands(name, x=x, y=y, temperature=temperature, **named(name, "params", params))
    xp, (x, y, temperature, *arrays) = given.xp, given.arrays
    m = checked(name, "params", arrays)
    if not x.ndim or x.shape[-1] != m.beta1.shape[1] or tuple(y.shape) != tuple(x.shape[:-1]):
        raise ValueError(
            f"{name}: x has shape {_array.shape_text(x.shape)} and y "
            f"{_array.shape_text(y.shape)}; (..., {m.beta1.shape[1]}) and (...) fit"
        )
    scores = _activated(xp, name, xp.matmul(x, xp.matrix_transpose(m.beta1)), activation)
    keep = xp.ones_like(scores) == 1
    if k is not None:
        keep = largest(xp, scores, keep, check_count(name, "k", k), (scores.ndim - 1,))
    gates = (scores + m.beta0) / temperature
    miss = y[..., None] - (xp.matmul(x, xp.matrix_transpose(m.a)) + m.b)
    log_normal = -0.5 * (miss * miss / m.variance + xp.log(m.variance) + math.log(2.0 * math.pi))
    axis = (scores.ndim - 1,)
    joint = row_logsumexp(gates + log_normal, keep, axis=axis, scale=1.0)
    return given.finish(joint - row_logsumexp(gates, keep, axis=axis, scale=1.0))


def _temperature(function: str, name: str, value: Any) -> Any:
    """A positive number, or an array of one."""
    if value is None or _array.is_scalar(value):
        return positive(function, name, value)
    if value.ndim:
        raise ValueError(
            f"{function}: {name} has shape {_array.shape_text(value.shape)}; one number fits"
        )
    return value


def _activated(xp: Any, function: str, scores: Array, activation: Any) -> Array:
    if activation is None:
        return scores
    if callable(activation):
        return activation(scores)
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"{function}: activation is {activation!r}; one of "
            f"{', '.join(map(repr, ACTIVATIONS))}, or a callable fits"
        )
    return ACTIVATIONS[activation](xp, scores)


@form(
    shapes="params: E D, true_params: F D -> ", papers=("2309.13850", "2401.13875"),
    cost="O(E E' D)", level="module",
)  # fmt: skip
def voronoi_loss(
    params: Params,
    true_params: Params,
    /,
    *,
    kind: str = "exact",
    k: int | None = None,
    order: float = 1,
    rbar: float = 7,
    temperature: float | Array | tuple[float | Array, float | Array] = 1.0,
    a_power: float | None = None,
) -> Array:
    r"""Distance between the experts of two mixtures, cell by cell of the true ones.

    .. math::

        \sum_{j \in J} \Big( \Big|\sum_{i \in V_j} w_i - w^*_j\Big| + \sum_{i \in V_j} w_i \big[
        \lVert\Delta\beta_1\rVert^{r_1} + |\Delta T|^{r_2} + \lVert\Delta a\rVert^{r_3}
        + |\Delta b|^{r_4} + |\Delta\nu|^{r_5}\big] \Big), \qquad w_i = e^{\beta_{0i}/T}

    with :math:`V_j` the fitted experts whose nearest true expert, by the Euclidean distance of
    (beta1, a, b, variance), is j, and J all cells or the k of the largest terms.

    Parameters
    ----------
    params : tuple of arrays (E,), (E, D), (E, D), (E,), (E,)
        Fitted beta0, beta1, a, b and variances, as :func:`anymax.gaussian_moe_log_density` has.
    true_params : tuple of arrays (E',), (E', D), (E', D), (E',), (E',)
        The true ones; both differentiable.
    kind : {"exact", "over", "dense_to_sparse", "activation"}
        The exponents.  "exact" and "dense_to_sparse": `order` everywhere.  "over": r, r, r / 2, r,
        r / 2 in cells of several experts, "activation": 2, 2, 2, r, r / 2 there, both 1 in cells of
        one; r depends on the number of experts in the cell, 4 for two, 6 for three, `rbar` above.
    k : int, optional
        Only the k cells of the largest terms count, as in a top-k gate.
    order : float
        Exponent of the first two kinds, at least 1.
    rbar : float
        r of cells of four experts or more, at least 7.
    temperature : float, array (), or a pair of them
        Fitted and true temperature, one number for both; positive.
    a_power : float, optional
        Exponent of the slopes in cells of several experts, in the place of r / 2 or 2.

    Returns
    -------
    array ()
        The distance; 0 only for equal mixtures, in any order of their experts.

    Raises
    ------
    TypeError
        An argument is no tuple of five real arrays.
    ValueError
        Shapes do not fit, a variance or temperature isn't positive, or an option is out of range.

    Notes
    -----
    The maximum over subsets of k cells in the paper is the sum of the k largest terms.  An empty
    cell costs its true weight.  Ties between cells go to the lowest.  The derivative of a norm is 0
    at 0; cells are constants.  The exponent of the slopes in "over" and the exponents of
    "activation" are from memory and uncertain: `a_power` replaces the former.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> zero = np.zeros(1)
    >>> true = (zero, zero[:, None], zero[:, None], zero, zero + 1.0)
    >>> moved = (zero, zero[:, None], zero[:, None], zero + 0.5, zero + 1.0)
    >>> am.losses.voronoi_loss(moved, true) + 0.0
    np.float64(0.5)

    References
    ----------
    .. [1] H. Nguyen, P. Akbarian, F. Yan, N. Ho, "Statistical perspective of top-K sparse softmax
       gating mixture of experts", arXiv:2309.13850, 2024.
    .. [2] H. Nguyen, P. Akbarian, N. Ho, "Is temperature sample efficient for softmax Gaussian
       mixture of experts?", arXiv:2401.13875, 2024.
    """
    name = "voronoi_loss"
    _check_options(name, kind, order, rbar)
    t, t_true = temperature if isinstance(temperature, tuple) else (temperature, temperature)
    t, t_true = (_temperature(name, "temperature", x) for x in (t, t_true))
    given = operands(
        name, **named(name, "params", params), **named(name, "true_params", true_params),
        fitted_temperature=t, true_temperature=t_true,
    )  # fmt: skip
    xp, (*arrays, t, t_true) = given.xp, given.arrays
    p, q = checked(name, "params", arrays[:5]), checked(name, "true_params", arrays[5:])
    if p.beta1.shape[1] != q.beta1.shape[1]:
        raise ValueError(
            f"{name}: params has D = {p.beta1.shape[1]} but true_params {q.beta1.shape[1]}; "
            "they must match"
        )
    squares = _squares(xp, p, q)
    cells = _cells(xp, squares)  # (E, E')
    weights, true_weights = xp.exp(p.beta0 / t), xp.exp(q.beta0 / t_true)
    mass = xp.sum(cells * weights[:, None], axis=0)
    powers = _powers(xp, kind, order, rbar, a_power, xp.sum(cells, axis=0))
    change = (t - t_true) + xp.zeros_like(mass)
    beta1, a, b, variance = squares
    errors = xp.zeros_like(cells)
    for square, power in zip((beta1, change * change + xp.zeros_like(b), a, b, variance), powers):
        errors = errors + _power_of_norm(xp, square, power)
    terms = xp.abs(mass - true_weights) + xp.sum(cells * weights[:, None] * errors, axis=0)
    if k is not None:
        every = xp.ones_like(terms) == 1
        terms = select(xp, largest(xp, terms, every, check_count(name, "k", k), (0,)), terms)
    return given.finish(xp.sum(terms))


def _check_options(function: str, kind: str, order: float, rbar: float) -> None:
    if kind not in _KINDS:
        raise ValueError(
            f"{function}: kind is {kind!r}; one of {', '.join(map(repr, _KINDS))} fits"
        )
    for name, value, least in (("order", order, 1), ("rbar", rbar, 7)):
        if not value >= least:
            raise ValueError(f"{function}: {name} is {value!r}; a number of at least {least} fits")


def _squares(xp: Any, p: Mixture, q: Mixture) -> tuple[Array, Array, Array, Array]:
    """Squared differences (E, E') of beta1, a, b and variances."""

    def square(x: Array, y: Array) -> Array:
        d = xp.expand_dims(x, axis=1) - xp.expand_dims(y, axis=0)
        return xp.sum(d * d, axis=-1) if d.ndim == 3 else d * d

    return tuple(square(x, y) for x, y in zip((*p[1:],), (*q[1:],)))


def _cells(xp: Any, squares: tuple) -> Array:
    """One at the true expert (columns) nearest to each fitted one (rows), 0 elsewhere."""
    distance = stop_gradient(squares[0] + squares[1] + squares[2] + squares[3])
    return one_hot(
        xp, xp.argmin(distance, axis=-1), distance.shape[-1], -1, distance.dtype
    )  # fmt: skip


def _powers(
    xp: Any, kind: str, order: float, rbar: float, a_power: float | None, count: Array
) -> tuple[Any, ...]:
    """Exponents (E',) of beta1, temperature, a, b and variance."""
    one = xp.ones_like(count)
    if kind in ("exact", "dense_to_sparse"):
        return (one * order,) * 5
    several = count > 1
    r = xp.where(count > 3, one * rbar, xp.where(count > 2, one * 6.0, one * 4.0))
    two = r if kind == "over" else one * 2.0
    a = (0.5 * r if kind == "over" else two) if a_power is None else one * a_power
    return tuple(xp.where(several, x, one) for x in (two, two, a, r, 0.5 * r))


def _power_of_norm(xp: Any, square: Array, power: Array) -> Array:
    """square ** (power / 2), with derivative 0 at 0."""
    some = square != 0
    return select(xp, some, xp.exp(0.5 * power * xp.log(select(xp, some, square, 1.0))))
