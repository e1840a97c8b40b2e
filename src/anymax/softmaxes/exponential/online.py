"""The state of a softmax that is still being computed: maximum, sum, weighted sum of values."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.primitives._masked import exponentials, nonzero, select
from anymax.softmaxes._operands import operands
from anymax.softmaxes._rows import rows

State = tuple[Array, Array] | tuple[Array, Array, Array]


@form(shapes="x: ... C -> ..., ...", papers=("1805.02867", "2405.10480"), cost="O(C Dv)")
def softmax_state(
    x: Array,
    /,
    *,
    v: Array | None = None,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> State:
    r"""State of an unfinished softmax: the largest logit, a sum, and a weighted sum of values.

    .. math:: m = \max_j x_j, \qquad l = \sum_j e^{x_j - m}, \qquad o = \sum_j e^{x_j - m} v_j

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    v : array (..., C, Dv), optional
        Values; the softmax axis must then be the last of `x`.
    axis : int, tuple of ints or None
        Axes to reduce; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.

    Returns
    -------
    m : array (...)
        The largest logit; -inf for a row without any.
    l : array (...)
        Sum of shifted exponentials, at least 1, or 0 for a row without any.
    o : array (..., Dv)
        With `v`: the weighted sum, not divided by `l`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`; `v` doesn't fit, or `axis` is not the last one.

    Notes
    -----
    States of parts merge into the state of the whole, in any order and grouping:
    :func:`anymax.merge_softmax_states`; the one of nothing is (-inf, 0, 0).
    :func:`anymax.finalize_softmax_state` ends it.  `m` is a constant for derivatives: those of
    `l` and `o` then add up to the right ones of whatever is made of the state.  A logit of NaN or
    +inf gives NaN in l and o of its row; values that are not finite give NaN to the rows that
    attend them.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> m, l = am.softmax_state(np.log(np.asarray([1.0, 2.0, 4.0])))
    >>> round(float(m), 6), round(float(l), 6)
    (1.386294, 1.75)

    References
    ----------
    .. [1] M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax",
       arXiv:1805.02867, 2018.
    .. [2] R. Sanovar et al., "Lean attention: hardware-aware scalable attention mechanism for the
       decode-phase of transformers", arXiv:2405.10480, 2024.
    """
    name = "softmax_state"
    r = rows(name, x, axis, where)
    ops = operands(name, x=r.x, v=v)
    xp, (z, v) = ops.xp, ops.arrays
    _, e, s, m, keep = exponentials(xp, z, r.where, r.axis, r.scale)
    some = xp.any(keep, axis=r.axis, keepdims=True)
    m = select(xp, some, m, -xp.inf)
    m, s = xp.squeeze(m, axis=r.axis), xp.squeeze(s, axis=r.axis)
    if v is None:
        return ops.finish(m), ops.finish(s)
    if r.scalar or r.axis != (z.ndim - 1,):
        raise ValueError(f"{name}: axis is {axis!r}; with v it must be the last axis of x")
    if v.ndim < 2 or v.shape[-2] != z.shape[-1]:
        raise ValueError(
            f"{name}: v has shape {_array.shape_text(v.shape)}; (..., C, Dv) with the "
            f"{z.shape[-1]} logits of a row is needed"
        )
    return ops.finish(m), ops.finish(s), ops.finish(_weighted(xp, e, keep, v))


def _weighted(xp: Any, e: Array, keep: Array, v: Array) -> Array:
    """Sum of values with weights; one that is not finite reaches only the rows that attend it."""
    fine = xp.isfinite(v)
    o = xp.matmul(e[..., None, :], select(xp, fine, v))[..., 0, :]
    hits = xp.matmul(xp.astype(keep, v.dtype)[..., None, :], xp.astype(~fine, v.dtype))[..., 0, :]
    return select(xp, hits == 0, o, xp.nan)


@form(shapes="m: n ..., l: n ... -> ..., ...", papers=("1805.02867", "2405.10480"), cost="O(n Dv)")
def merge_softmax_states(
    m: Array, l: Array, /, *, o: Array | None = None, axis: int = 0
) -> State:  # fmt: skip
    r"""State of a whole from the states of its parts.

    .. math::

        M = \max_i m_i, \qquad L = \sum_i e^{m_i - M}\, l_i, \qquad O = \sum_i e^{m_i - M}\, o_i

    Parameters
    ----------
    m, l : array (n, ...)
        States of n parts, stacked along `axis`.
    o : array (n, ..., Dv), optional
        Their weighted sums.
    axis : int
        The axis of the parts in `m`; `o` has one axis more, at its end.

    Returns
    -------
    m, l : array (...)
        The merged state.
    o : array (..., Dv)
        With `o`.

    Raises
    ------
    TypeError, ValueError, IndexError
        The arrays don't fit together, or `axis` is out of bounds.

    Notes
    -----
    Associative and commutative up to rounding; a part with m = -inf changes no bit, whatever its
    l and o hold.  With l = 1 this merges logsumexps.  Splits of the keys on several processors
    exchange these states.  All factors are at most 1, so nothing overflows.  The new maximum
    is a constant for derivatives.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x = np.arange(6.0)
    >>> m, l = am.softmax_state(x.reshape(2, 3))
    >>> both = am.finalize_softmax_state(*am.merge_softmax_states(m, l))
    >>> bool(np.isclose(both, am.logsumexp(x), rtol=1e-15))
    True

    References
    ----------
    .. [1] M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax",
       arXiv:1805.02867, 2018.
    .. [2] R. Sanovar et al., "Lean attention: hardware-aware scalable attention mechanism for the
       decode-phase of transformers", arXiv:2405.10480, 2024.
    """
    name = "merge_softmax_states"
    ops = _state(name, m, l, o)
    xp, (m, l, o) = ops.xp, ops.arrays
    if m.ndim == 0:
        raise ValueError(f"{name}: m has no axis; (n, ...) is needed")
    (a,) = _array.axes(name, axis, m.ndim)
    live = m != -xp.inf
    top = _top(xp, m, live, a)
    base = xp.where(top == -xp.inf, xp.zeros_like(top), top)
    base = xp.where(base == xp.inf, xp.full_like(base, xp.nan), base)  # inf - inf would warn
    w = select(xp, live, xp.exp(select(xp, live, select(xp, live, m) - base)))
    total = xp.sum(w * select(xp, live, l), axis=a)
    state = (ops.finish(xp.squeeze(top, axis=a)), ops.finish(total))
    if o is None:
        return state
    return *state, ops.finish(xp.sum(w[..., None] * select(xp, live[..., None], o), axis=a))


def _top(xp: Any, m: Array, live: Array, axis: int) -> Array:
    """The largest maximum as a constant, -inf where there is none."""
    m = select(xp, live, stop_gradient(m), -xp.inf)
    if m.shape[axis] == 0:
        shape = tuple(1 if a == axis else n for a, n in enumerate(m.shape))
        return xp.full(shape, -xp.inf, dtype=m.dtype, device=_array.device(m))
    if 0 in m.shape:
        return xp.sum(m, axis=axis, keepdims=True)
    return xp.max(m, axis=axis, keepdims=True)


def _state(function: str, m: Array, l: Array, o: Array | None):
    """The state's arrays, in one dtype, after they were found to fit together."""
    _array.required(function, m=m, l=l)
    ops = operands(function, m=m, l=l, o=o)
    m, l, o = ops.arrays
    if tuple(m.shape) != tuple(l.shape):
        raise ValueError(
            f"{function}: m has shape {_array.shape_text(m.shape)}, l {_array.shape_text(l.shape)};"
            " they must match"
        )
    if o is not None and tuple(o.shape[:-1]) != tuple(m.shape):
        raise ValueError(
            f"{function}: o has shape {_array.shape_text(o.shape)}; the shape of m, "
            f"{_array.shape_text(m.shape)}, and one axis more are needed"
        )
    return ops


@form(shapes="m: ..., l: ... -> ...", papers=("1805.02867", "2405.10480"), cost="O(Dv)")
def finalize_softmax_state(
    m: Array, l: Array, /, *, o: Array | None = None
) -> Array | tuple[Array, Array]:
    r"""Logsumexp, and softmax-weighted mean of the values, from a state.

    .. math:: \mathrm{lse} = m + \log l, \qquad \mathrm{out} = o / l

    Parameters
    ----------
    m, l : array (...)
        A state, as :func:`anymax.softmax_state` gives it.
    o : array (..., Dv), optional
        Its weighted sum of values.

    Returns
    -------
    out : array (..., Dv)
        With `o`: the weighted mean; 0 for an empty state.
    lse : array (...)
        The logsumexp; -inf for an empty state.

    Raises
    ------
    TypeError, ValueError
        The arrays don't fit together.

    Notes
    -----
    A state is empty when m = -inf or l = 0.  m = +inf gives a logsumexp of +inf, as
    :func:`anymax.logsumexp` does, and a mean of NaN.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> state = am.softmax_state(np.zeros(4), v=np.arange(8.0).reshape(4, 2))
    >>> out, lse = am.finalize_softmax_state(state[0], state[1], o=state[2])
    >>> out
    array([3., 4.])

    References
    ----------
    .. [1] M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax",
       arXiv:1805.02867, 2018.
    .. [2] R. Sanovar et al., "Lean attention: hardware-aware scalable attention mechanism for the
       decode-phase of transformers", arXiv:2405.10480, 2024.
    """
    ops = _state("finalize_softmax_state", m, l, o)
    xp, (m, l, o) = ops.xp, ops.arrays
    live = (m != -xp.inf) & (l != 0)
    s = nonzero(xp, select(xp, live, l))
    lse = select(xp, live, select(xp, live, m) + xp.log(s), -xp.inf)
    lse = ops.finish(xp.where(live & (m == xp.inf), m, lse))
    if o is None:
        return lse
    live = live[..., None]
    out = select(xp, live, select(xp, live, o) / s[..., None])
    return ops.finish(
        xp.where(live & (m == xp.inf)[..., None], xp.full_like(out, xp.nan), out)
    ), lse
