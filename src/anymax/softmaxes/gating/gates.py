"""Gates of mixtures of experts: by temperature, by activation, by the k best, by clusters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.primitives._masked import kept, select
from anymax.primitives._selection import largest
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._operands import Operands, along, check_count, operands, spread, summed
from anymax.softmaxes._rows import rows

Axis = int | tuple[int, ...] | None


@form(
    shapes="scores: ... E -> ... E", papers=("2401.13875",), cost="O(E)",
    primitives=("row_softmax",),
)  # fmt: skip
def dense_to_sparse_gate(
    scores: Array,
    /,
    *,
    bias: Array | None = None,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Softmax gate with a temperature, which takes it from all experts to one.

    .. math:: g_i = \mathrm{softmax}\big((s_i + \beta_i)/T\big)

    Parameters
    ----------
    scores : array (..., E)
        Scores of E experts.
    bias : array (E,), optional
        Added to the scores; a vector lies along `axis`, anything else broadcasts.
    axis : int, tuple of ints or None
        Axes of the experts; None means all of them.
    where : boolean array, broadcastable to `scores`
        True where an expert can be chosen.
    temperature : float or array
        Divides scores and bias; positive, size 1 along `axis`.

    Returns
    -------
    array (..., E)
        Weights that sum to one.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`, and if `bias` doesn't fit.

    Notes
    -----
    One-hot as T falls to 0, uniform as it rises.  Homogeneous of degree 0 in scores, bias and T
    together, which is what slows the estimation of T down in [1]_.  A score or bias of -inf is
    masked.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> scores, bias = np.zeros(2), np.log(np.asarray([1.0, 2.0]))
    >>> am.dense_to_sparse_gate(scores, bias=bias, temperature=0.5)
    array([0.2, 0.8])

    References
    ----------
    .. [1] H. Nguyen, P. Akbarian, N. Ho, "Is temperature sample efficient for softmax Gaussian
       mixture of experts?", arXiv:2401.13875, 2024.
    """
    name = "dense_to_sparse_gate"
    ops, x, b = _scores(name, scores, bias, axis, where, temperature)
    z, keep = summed(ops.xp, where, x, b)
    return _gate(name, ops, z, keep, axis, ops.arrays[2])


def _scores(
    function: str, scores: Array, bias: Array | None, axis: Axis, where: Array | None,
    temperature: Any = 1.0,
) -> tuple[Operands, Array, Array]:  # fmt: skip
    """Scores, and the bias in their shape: zeros if there is none."""
    _array.required(function, scores=scores)
    if temperature is None:
        raise TypeError(f"{function}: temperature is None; a positive number or an array fits")
    ops = operands(function, scores=scores, bias=bias, temperature=temperature)
    xp, (x, b, _) = ops.xp, ops.arrays
    _array.axes(function, axis, x.ndim)
    _array.check_mask(function, "where", where, x.shape, "scores")
    if b is None:
        return ops, x, xp.zeros_like(x)
    b = along(xp, b, x.ndim, axis)
    _array.check_broadcast(function, "bias", b, x.shape, "scores")
    return ops, x, spread(xp, b, tuple(x.shape))


def _gate(
    function: str, ops: Operands, z: Array, keep: Array, axis: Axis, temperature: Any
) -> Array:
    r = rows(function, z, axis, keep, temperature)
    return ops.finish(r.finish(row_softmax(r.x, r.where, axis=r.axis, scale=r.scale)))


@form(
    shapes="scores: ... E -> ... E", papers=("2401.13875",), cost="O(E)",
    primitives=("row_softmax",),
)  # fmt: skip
def activation_dense_to_sparse_gate(
    scores: Array,
    /,
    *,
    activation: str | Callable[[Array], Array] = "sigmoid",
    bias: Array | None = None,
    bias_inside: bool = False,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Softmax gate with a temperature, of activated scores.

    .. math:: g_i = \mathrm{softmax}\big((\sigma(s_i) + \beta_i)/T\big)

    Parameters
    ----------
    scores : array (..., E)
        Scores of E experts.
    activation : {"sigmoid", "tanh", "gelu", "relu"} or callable
        The function sigma, elementwise.
    bias : array (E,), optional
        Added after the activation; a vector lies along `axis`, anything else broadcasts.
    bias_inside : bool
        Add it before the activation instead.
    axis : int, tuple of ints or None
        Axes of the experts; None means all of them.
    where : boolean array, broadcastable to `scores`
        True where an expert can be chosen.
    temperature : float or array
        Divides activated scores and bias; positive, size 1 along `axis`.

    Returns
    -------
    array (..., E)
        Weights that sum to one.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.dense_to_sparse_gate`; `activation` has no meaning.

    Notes
    -----
    A nonlinear activation makes the temperature estimable at polynomial rates; the identity doesn't
    and gives :func:`anymax.dense_to_sparse_gate`.  With a bounded activation the weights of two
    experts differ by at most a factor exp(range / T).  That the bias stands outside is assumed (the
    paper's mixing weights exp(bias / T) suggest it).  "gelu" is the approximation with tanh.  A
    score of -inf is masked, not activated.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> scores = np.asarray([-3.0, 0.0, np.log(4.0)])
    >>> am.activation_dense_to_sparse_gate(scores, activation="relu")
    array([0.16666667, 0.16666667, 0.66666667])

    References
    ----------
    .. [1] H. Nguyen, P. Akbarian, N. Ho, "Is temperature sample efficient for softmax Gaussian
       mixture of experts?", arXiv:2401.13875, 2024.
    """
    name = "activation_dense_to_sparse_gate"
    if not callable(activation) and activation not in ACTIVATIONS:
        raise ValueError(
            f"{name}: activation is {activation!r}; one of "
            f"{', '.join(map(repr, ACTIVATIONS))} or a callable fits"
        )
    ops, x, b = _scores(name, scores, bias, axis, where, temperature)
    xp = ops.xp
    z, keep = summed(xp, where, x, b)
    # +inf can only give NaN, or a weight without meaning when the activation is bounded.
    z = xp.where(z == xp.inf, xp.full_like(z, xp.nan), z)
    inner = (
        z if bias_inside else select(xp, keep, xp.where(x == xp.inf, xp.full_like(x, xp.nan), x))
    )
    y = activation(inner) if callable(activation) else ACTIVATIONS[activation](xp, inner)
    z = select(xp, keep, y if bias_inside else y + select(xp, keep, b))
    return _gate(name, ops, z, keep, axis, ops.arrays[2])


def _sigmoid(xp: Any, x: Array) -> Array:
    return 0.5 * xp.tanh(0.5 * x) + 0.5


def _tanh(xp: Any, x: Array) -> Array:
    return xp.tanh(x)


def _gelu(xp: Any, x: Array) -> Array:
    return 0.5 * x * (1.0 + xp.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def _relu(xp: Any, x: Array) -> Array:
    return xp.where(x > 0, x, x * 0.0)


ACTIVATIONS: dict[str, Callable[[Any, Array], Array]] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "gelu": _gelu,
    "relu": _relu,
}


@form(
    shapes="scores: ... E -> ... E", papers=("2309.13850",), cost="O(E log E)",
    primitives=("row_softmax",),
)  # fmt: skip
def top_k_softmax_gate(
    scores: Array,
    /,
    *,
    k: int,
    bias: Array | None = None,
    select_with_bias: bool = False,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    r"""Softmax gate over the k experts of the largest scores; the bias counts after the choice.

    .. math:: g_i = \frac{e^{s_i + \beta_i}}{\sum_{j\in K} e^{s_j + \beta_j}}
        \text{ for } i\in K = \operatorname{arg\,top}_k(s), \qquad 0 \text{ elsewhere}

    Parameters
    ----------
    scores : array (..., E)
        Scores of E experts.
    k : int
        How many experts are chosen.
    bias : array (E,), optional
        Added to the scores; a vector lies along `axis`, anything else broadcasts.
    select_with_bias : bool
        Choose by the sum, as ordinary routers do, rather than by the scores.
    axis : int, tuple of ints or None
        Axes of the experts; None means all of them.
    where : boolean array, broadcastable to `scores`
        True where an expert can be chosen.

    Returns
    -------
    array (..., E)
        Weights that sum to one, exactly k of them not 0 where k experts can be chosen.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.dense_to_sparse_gate`; `k` is no positive integer.

    Notes
    -----
    Ties at the k-th place go to the lowest index.  With k at least E it is the dense softmax.  The
    choice is a constant for derivatives.  NaN counts as the largest score, so it is chosen and
    gives NaN to the weights chosen with it.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.top_k_softmax_gate(np.log(np.asarray([1.0, 3.0, 1.0, 1.0])), k=2)
    array([0.25, 0.75, 0.  , 0.  ])

    References
    ----------
    .. [1] H. Nguyen, P. Akbarian, F. Yan, N. Ho, "Statistical perspective of top-K sparse softmax
       gating mixture of experts", arXiv:2309.13850, 2024.
    """
    name = "top_k_softmax_gate"
    k = check_count(name, "k", k)
    ops, x, b = _scores(name, scores, bias, axis, where)
    z, keep = summed(ops.xp, where, x, b)
    r = rows(name, z if select_with_bias else select(ops.xp, keep, x), axis, keep)
    chosen = largest(ops.xp, r.x, r.where, k, r.axis)
    z = z[..., None] if r.scalar else z
    return ops.finish(r.finish(row_softmax(z, chosen, axis=r.axis, scale=1.0)))


@form(
    shapes="x: B D, centers: C D -> B C, B, C D", papers=("2211.12105",), cost="O(num_iters B C D)",
    primitives=("row_softmax",),
)  # fmt: skip
def distribution_routing(
    x: Array,
    centers: Array,
    /,
    *,
    beta: float = 0.9,
    num_iters: int = 3,
    update: bool = True,
) -> tuple[Array, Array, Array]:
    r"""Soft assignment of examples to clusters whose centres follow them.

    .. math::

        r_{bc} = \mathrm{softmax}_c\langle x_b, \mu_c\rangle, \qquad
        \mu_c \leftarrow \frac{\beta\mu_c + (1-\beta)\sum_b r_{bc} x_b}{\|\cdot\|_2}

    Parameters
    ----------
    x : array (B, D)
        Embeddings of a batch.
    centers : array (C, D)
        Centres of the clusters, of unit length.
    beta : float
        Share of the old centre in the new one, in [0, 1].
    num_iters : int
        Rounds of assignment and update.
    update : bool
        False for evaluation: the centres stay.

    Returns
    -------
    coeff : array (B, C)
        Assignments with the final centres; rows sum to one.
    cluster : integer array (B,)
        The cluster of the largest one, lowest index first; -1 where it is NaN.
    centers : array (C, D)
        The centres after the updates.

    Raises
    ------
    TypeError, ValueError
        The shapes don't fit, or an option is out of range.

    Notes
    -----
    Nothing is differentiated.  The sum over the batch is not a mean, so larger batches pull harder;
    a centre of length 0 stays 0.  An example with a number that is not finite has NaN coefficients
    and moves no centre.  The similarity, the constants and the number of rounds are those of a
    third-party implementation; the paper's own could not be checked, so they are arguments.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, centers = np.asarray([[2.0, 0.0], [0.0, 2.0]]), np.eye(2)
    >>> coeff, cluster, centers = am.distribution_routing(x, centers)
    >>> cluster
    array([0, 1])

    References
    ----------
    .. [1] J. Li et al., "AdaptDHM: adaptive distribution hierarchical model for multi-domain CTR
       prediction", arXiv:2211.12105, 2022.
    """
    name = "distribution_routing"
    _array.required(name, x=x, centers=centers)
    num_iters = check_count(name, "num_iters", num_iters, least=0)
    if not 0.0 <= beta <= 1.0:
        raise ValueError(f"{name}: beta is {beta}; a number in [0, 1] fits")
    if x.ndim != 2 or centers.ndim != 2 or x.shape[-1] != centers.shape[-1]:
        raise ValueError(
            f"{name}: x has shape {_array.shape_text(x.shape)}, centers "
            f"{_array.shape_text(centers.shape)}; (B, D) and (C, D) are needed"
        )
    ops = operands(name, x=stop_gradient(x), centers=stop_gradient(centers))
    xp, (x, c) = ops.xp, ops.arrays
    bad = ~xp.all(xp.isfinite(x), axis=-1, keepdims=True)
    x = xp.where(bad, xp.zeros_like(x), x)
    for _ in range(num_iters if update else 0):
        pull = select(xp, ~bad, row_softmax(xp.matmul(x, c.T), None, axis=(1,), scale=1.0))
        c = _unit(xp, beta * c + (1.0 - beta) * xp.matmul(pull.T, x))
    coeff = row_softmax(xp.matmul(x, c.T), None, axis=(1,), scale=1.0)
    coeff = xp.where(bad, xp.full_like(coeff, xp.nan), coeff)
    return ops.finish(coeff), _best(xp, coeff), ops.finish(c + 0.0)


def _unit(xp: Any, c: Array) -> Array:
    """Rows of unit length; the zero vector stays."""
    norm = xp.sqrt(xp.sum(c * c, axis=-1, keepdims=True))
    return c / select(xp, norm != 0, norm, 1.0)


def _best(xp: Any, p: Array) -> Array:
    """Index of the first largest entry of each row; -1 for a row of NaN, and without entries."""
    n = p.shape[-1]
    keep = kept(xp, p, None) & (p == p)
    hot = largest(xp, p, keep, 1, (p.ndim - 1,))
    place = _array.arange(xp, n, p) + 1
    return xp.sum(xp.where(hot, place, xp.zeros_like(place)), axis=-1) - 1
