"""What NoProp's layers compute: an expected embedding, and a mixture of it, state and noise."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._operands import operands
from anymax.softmaxes._rows import rows

_PAPER = ("2503.24322",)


@form(shapes="alpha_bar: ... S -> ... T, ... T, ... T", papers=_PAPER, cost="O(T)", level="module")
def noprop_dt_coefficients(alpha_bar: Array, /) -> tuple[Array, Array, Array]:
    r"""How a step of discrete-time NoProp mixes prediction, state and noise.

    .. math:: z_t = a_t \hat u + b_t z_{t-1} + \sqrt{c_t}\,\epsilon,\quad
        a_t = \frac{\bar\alpha_t - \bar\alpha_{t-1}}{\sqrt{\bar\alpha_t}\,(1 - \bar\alpha_{t-1})},\
        b_t = \sqrt{\frac{\bar\alpha_{t-1}}{\bar\alpha_t}}\frac{1 - \bar\alpha_t}
        {1 - \bar\alpha_{t-1}},\
        c_t = \frac{(1 - \bar\alpha_t)(1 - \bar\alpha_{t-1}/\bar\alpha_t)}{1 - \bar\alpha_{t-1}}

    Parameters
    ----------
    alpha_bar : array (..., T + 1)
        :math:`\bar\alpha_0 \le \dots \le \bar\alpha_T` in [0, 1], growing from noise to the label.

    Returns
    -------
    a, b, c : array (..., T)
        Coefficients of the prediction and the state, and the variance of the noise.

    Raises
    ------
    TypeError, ValueError
        `alpha_bar` has no real dtype or no axis.

    Notes
    -----
    Marginals are kept: :math:`a + b\sqrt{\bar\alpha_{t-1}} = \sqrt{\bar\alpha_t}` and
    :math:`b^2 (1 - \bar\alpha_{t-1}) + c = 1 - \bar\alpha_t`.  A third-party implementation takes
    :math:`\bar\alpha_{t-1}/\bar\alpha_t` one step off and fails both.  A step without progress,
    among them those with :math:`\bar\alpha` at 0 or 1 throughout, is (0, 1, 0).

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> a, b, c = am.losses.noprop_dt_coefficients(np.asarray([0.0, 0.25, 1.0]))
    >>> a
    array([0.5, 1. ])
    >>> c
    array([0.75, 0.  ])

    References
    ----------
    .. [1] Q. Li, Y. W. Teh, R. Pascanu, "NoProp: training neural networks without back-propagation
       or forward-propagation", 2025, equations 3 to 6. arXiv:2503.24322.
    """
    name = "noprop_dt_coefficients"
    _array.required(name, alpha_bar=alpha_bar)
    ops = operands(name, alpha_bar=alpha_bar)
    xp, (s,) = ops.xp, ops.arrays
    if not s.ndim:
        raise ValueError(f"{name}: alpha_bar has 0 axes; the T + 1 steps are needed")
    before, after = s[..., :-1], s[..., 1:]
    still = after == before
    before, after = (select(xp, ~still, x, fill) for x, fill in ((before, 0.25), (after, 0.5)))
    gain, room = after - before, 1.0 - before
    root = xp.sqrt(after)
    a = select(xp, ~still, gain / (root * room))
    part = before > 0  # the square root of 0 has no slope
    share = select(xp, part, xp.sqrt(select(xp, part, before, 1.0))) / root
    b = select(xp, ~still, share * (1.0 - after) / room, 1.0)
    c = select(xp, ~still, (1.0 - after) * gain / (after * room))
    return ops.finish(a), ops.finish(b), ops.finish(c)


@form(
    shapes="logits: ... C, w: C D -> ... D", papers=_PAPER, cost="O(n D)", level="module",
    primitives=("row_softmax",),
)  # fmt: skip
def softmax_label_embedding(
    logits: Array, w: Array, /, *, temperature: float | Array = 1.0
) -> Array:
    r"""Average of the embeddings of all labels under the softmax of the logits.

    .. math:: \hat u = \sum_c \mathrm{softmax}(\text{logits} / \tau)_c\, w_c

    Parameters
    ----------
    logits : array (..., C)
        Unnormalised log-probabilities of the labels.
    w : array (C, D)
        An embedding for each label.
    temperature : float or array, broadcastable to (..., 1)
        :math:`\tau > 0`.

    Returns
    -------
    array (..., D)
        The expected embedding; 0 where all logits are -inf.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.softmax`, or `w` has no row for each class.

    Notes
    -----
    Attention with one query whose scores are the logits and whose values are `w`.  The embedding of
    a label whose logit is -inf may hold anything.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.losses.softmax_label_embedding(np.zeros(2), np.asarray([[1.0, 2.0], [3.0, 6.0]]))
    array([2., 4.])

    References
    ----------
    .. [1] Q. Li, Y. W. Teh, R. Pascanu, "NoProp: training neural networks without back-propagation
       or forward-propagation", 2025, section 3. arXiv:2503.24322.
    """
    name = "softmax_label_embedding"
    _array.required(name, logits=logits, w=w)
    _array.namespace(name, logits=logits, w=w)
    if w.ndim != 2 or not logits.ndim or w.shape[0] != logits.shape[-1]:
        raise ValueError(
            f"{name}: w has shape {_array.shape_text(w.shape)} and logits "
            f"{_array.shape_text(logits.shape)}; (C, D) and (..., C) fit"
        )
    ops = operands(name, logits=logits, w=w, temperature=temperature)
    xp, (x, w, temperature) = ops.xp, ops.arrays
    row = rows(name, x, -1, None, temperature)
    p = row_softmax(row.x, row.where, axis=row.axis, scale=row.scale)
    bad = ~xp.all(xp.isfinite(w), axis=-1)
    u = xp.matmul(p, select(xp, ~bad[:, None], w))
    hit = xp.any(bad & (x != -xp.inf), axis=-1)
    return ops.finish(select(xp, ~hit[..., None], u, xp.nan))
