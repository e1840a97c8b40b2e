"""Resampling of partial samples by what they promise: potentials, weights, and the draw."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import select
from anymax.primitives._selection import largest
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._operands import check_count, operands
from anymax.softmaxes._rows import rows

_PAPER = ("2507.18537",)
KINDS = ("value", "diff", "sum", "max", "top_k")


@form(shapes="score: ... -> ...", papers=_PAPER, cost="O(N S)", level="module")
def potential_score(
    score: Array,
    /,
    *,
    history: Array | None = None,
    kind: str = "value",
    k: int | None = None,
) -> Array:
    r"""Potential of a partial sample, from its score and from those it had before.

    .. math:: r_t,\qquad r_t - r_{t-1},\qquad \sum_{s \le t} r_s,\qquad \max_{s \le t} r_s,\qquad
        \sum_{s \in \mathrm{top}_k} r_s

    Parameters
    ----------
    score : array (...)
        Scores :math:`r_t` of the samples now.
    history : array (..., S), optional
        Their scores before, the latest last.
    kind : {"value", "diff", "sum", "max", "top_k"}
        The potential; without a history all are the score.
    k : int, optional
        How many scores "top_k" adds up, all of them if there are fewer.

    Returns
    -------
    array (...)
        Potentials.

    Raises
    ------
    TypeError, ValueError
        An unknown kind, "top_k" without `k`, or shapes that don't fit.

    Notes
    -----
    Weights of "diff" at all steps multiply to those of "value" at the last.  The gradient of "max"
    and "top_k" goes to the scores that are chosen, the earliest of equal ones.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> score, history = np.asarray([1.0]), np.asarray([[3.0, 2.0]])
    >>> am.losses.potential_score(score, history=history, kind="top_k", k=2)
    array([5.])

    References
    ----------
    .. [1] Z. Chen et al., "TTS-VAR: a test-time scaling framework for visual auto-regressive
       generation", 2025, section 3.3. arXiv:2507.18537.
    """
    name = "potential_score"
    if kind not in KINDS:
        raise ValueError(f"{name}: kind is {kind!r}; one of {', '.join(map(repr, KINDS))} fits")
    if kind == "top_k":
        k = check_count(name, "k", k)
    _array.required(name, score=score)
    ops = operands(name, score=score, history=history)
    xp, (x, past) = ops.xp, ops.arrays
    if past is not None and (past.ndim != x.ndim + 1 or tuple(past.shape[:-1]) != tuple(x.shape)):
        raise ValueError(
            f"{name}: history has shape {_array.shape_text(past.shape)} beside score "
            f"{_array.shape_text(x.shape)}; one axis more, of the scores before, fits"
        )
    if past is None or kind == "value" or not past.shape[-1]:
        return ops.finish(x * 1.0)  # a copy: results alias no argument
    if kind == "diff":
        return ops.finish(x - past[..., -1])
    every = xp.concat([past, x[..., None]], axis=-1)
    if kind == "sum":
        return ops.finish(xp.sum(every, axis=-1))
    count = k if kind == "top_k" and k is not None else 1
    chosen = largest(xp, every, xp.ones_like(every) == 1, count, (every.ndim - 1,))
    some = xp.any(chosen, axis=-1)
    y = xp.sum(select(xp, chosen, every), axis=-1)
    full = xp.sum(xp.astype(chosen, every.dtype), axis=-1) == min(count, every.shape[-1])
    return ops.finish(select(xp, some & full, y, -xp.inf))


@form(
    shapes="potential: ... N -> ... N", papers=_PAPER, cost="O(N)", level="module",
    primitives=("row_softmax",),
)  # fmt: skip
def potential_resampling_weights(
    potential: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 0.1,
) -> Array:
    r"""Softmax of potentials, by which partial samples are resampled.

    .. math:: w_n = \frac{e^{\varphi_n / \tau}}{\sum_m e^{\varphi_m / \tau}}

    Parameters
    ----------
    potential : array (..., N)
        Potentials of N candidates.
    axis : int, tuple of ints or None
        Axes of the candidates; None means all of them.
    where : boolean array, broadcastable to `potential`
        True where a candidate takes part.
    temperature : float or array, broadcastable to `potential`, of size 1 along `axis`
        :math:`\tau`; the official :math:`\lambda = 10` is a temperature of 0.1.

    Returns
    -------
    array (..., N)
        Weights; 0 for a candidate that is masked, -inf or NaN, and where there is no other.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    NaN, a score that could not be had, gets weight 0: unlike elsewhere it doesn't spread.  The
    official code exponentiates without a shift: a score above 8.8 overflows float32, where its
    guard ties all that did, and NaN makes all others equal.  Here they keep their order.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.losses.potential_resampling_weights(np.asarray([0.0, 0.1 * np.log(3.0), np.nan]))
    array([0.25, 0.75, 0.  ])

    References
    ----------
    .. [1] Z. Chen et al., "TTS-VAR: a test-time scaling framework for visual auto-regressive
       generation", 2025, section 3.3. arXiv:2507.18537.
    """
    name = "potential_resampling_weights"
    _array.required(name, potential=potential)
    xp = _array.namespace(name, potential=potential, where=where, temperature=temperature)
    _array.check_mask(name, "where", where, potential.shape, "potential")
    (x,) = _array.promote(xp, name, potential=potential)
    known = ~xp.isnan(x)
    where = known if where is None else known & where
    row = rows(name, x, axis, where, temperature)
    return row.finish(row_softmax(row.x, row.where, axis=row.axis, scale=row.scale))


@form(
    shapes="weights: ... N, uniform: ... S -> ... S", papers=_PAPER, cost="O(N S)", level="module"
)
def potential_resample(weights: Array, uniform: Array, /) -> Array:
    r"""Indices drawn with replacement, by weights and uniform numbers.

    .. math:: i_s = \min\Big\{i : \sum_{j \le i} w_j > u_s \sum_j w_j\Big\}

    Parameters
    ----------
    weights : array (..., N)
        Weights of N candidates; they need not sum to one.  What isn't positive is never drawn.
    uniform : array (..., S)
        Uniform numbers u in [0, 1), one a draw.

    Returns
    -------
    integer array (..., S)
        Indices; -1 where no weight is positive.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype or no axis, or the leading axes differ.

    Notes
    -----
    Sorted uniform numbers give systematic or stratified resampling.  All S x N comparisons are
    made; both are small.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.losses.potential_resample(np.asarray([1.0, 0.0, 3.0]), np.asarray([0.0, 0.25, 0.99]))
    array([0, 2, 2])

    References
    ----------
    .. [1] Z. Chen et al., "TTS-VAR: a test-time scaling framework for visual auto-regressive
       generation", 2025, section 3.3. arXiv:2507.18537.
    """
    name = "potential_resample"
    _array.required(name, weights=weights, uniform=uniform)
    ops = operands(name, weights=weights, uniform=uniform)
    xp, (w, u) = ops.xp, ops.arrays
    if not w.ndim or w.ndim != u.ndim or tuple(w.shape[:-1]) != tuple(u.shape[:-1]):
        raise ValueError(
            f"{name}: weights has shape {_array.shape_text(w.shape)} and uniform "
            f"{_array.shape_text(u.shape)}; (..., N) and (..., S) fit"
        )
    w, u = _array.stop_gradient(w), _array.stop_gradient(u)
    w = select(xp, w > 0, w)
    place = _array.arange(xp, w.shape[-1], w)
    running = xp.cumulative_sum(w, axis=-1)
    passed = running[..., None, :] <= (u * xp.sum(w, axis=-1, keepdims=True))[..., None]
    index = xp.sum(xp.astype(passed, place.dtype), axis=-1, dtype=place.dtype)
    if not w.shape[-1]:
        return index - 1
    last = xp.max(xp.where(w > 0, place, -1), axis=-1, keepdims=True)
    return xp.minimum(index, last)
