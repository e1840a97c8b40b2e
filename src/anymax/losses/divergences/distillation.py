"""Losses that tie a student to a teacher, or two passes to each other."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._elements import elements
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses.divergences._pair import pair, with_infinite
from anymax.primitives._masked import select


@form(
    shapes="student_logits: ... C, teacher_logits: ... C -> ...", papers=("2405.15319",),
    cost="O(n)", primitives=("row_log_softmax",),
)  # fmt: skip
def soft_cross_entropy(
    student_logits: Array,
    teacher_logits: Array,
    /,
    *,
    temperature: float | Array = 1.0,
    eps: float = 0.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy of a student under the softmax of a teacher.

    .. math:: -\sum_c t_c \log(s_c + \epsilon), \qquad t = \mathrm{softmax}(\text{teacher}/T),\quad
        s = \mathrm{softmax}(\text{student}/T)

    Parameters
    ----------
    student_logits : array (..., C)
        Logits of the student, the C classes on `axis`.
    teacher_logits : array (..., C)
        Logits of the teacher; broadcasts against the student's.
    temperature : float or array
        Divides all logits; positive.  An array has the shape of the unreduced loss.
    eps : float
        Added to the student's probabilities; the official code has 1e-10.
    axis : int
        The class axis.
    where : boolean array, broadcastable to the logits
        True where a class takes part.  Shape (..., 1) keeps or drops whole rows.
    weight : array, broadcastable to the unreduced loss
        Weights of the rows.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of rows that count, or by the sum of their weights.

    Returns
    -------
    array () or (...)
        The loss, or one per row with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.distillation_kl`; `eps` is negative.

    Notes
    -----
    KL(t || s) plus the entropy of t; for a one-hot teacher the cross entropy of its class.  With
    `eps` the loss saturates at -log(eps) a class, and its gradient vanishes there: at logits of 1e3
    the official loss is off by 1.8e3.  Without it everything is done with logarithms, and the
    derivative by the student's logits is (s - t) / T.  0 log 0 is 0; a class that only the teacher
    has costs +inf, or -t log(eps).

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> student, teacher = np.zeros((1, 4)), np.asarray([[3.0, -1.0, 0.0, 2.0]])
    >>> am.soft_cross_entropy(student, teacher) / np.log(4.0)
    np.float64(1.0)

    References
    ----------
    .. [1] W. Du et al., "Stacking your Transformers: a closer look at model growth for efficient
       LLM pre-training", arXiv:2405.15319, 2024 (official code, DistillLoss).
    """
    name = "soft_cross_entropy"
    if not eps >= 0.0:
        raise ValueError(f"{name}: eps is {eps!r}; a number of at least 0 fits")
    p = pair(
        name, axis=axis, where=where, weight=weight, reduction=reduction, temperature=temperature,
        student_logits=student_logits, teacher_logits=teacher_logits,
    )  # fmt: skip
    xp, s, t = p.xp, p.first, p.second
    cost = -xp.log(s.probabilities() + eps) if eps else -s.logp
    cost = select(xp, t.keep if eps else t.keep & s.keep, cost)
    loss = xp.sum(t.probabilities() * cost, axis=-1)
    loss = loss if eps else with_infinite(xp, loss, t.keep & ~s.keep)
    return p.finish(loss, reduction)


@form(
    shapes="x_logits: ... C, y_logits: ... C -> ...", papers=("2312.02923",),
    cost="O(n)", primitives=("row_log_softmax",),
)  # fmt: skip
def symmetric_kl_div(
    x_logits: Array,
    y_logits: Array,
    /,
    *,
    stop_gradient: bool = True,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Half the sum of the two Kullback-Leibler divergences between softmaxes.

    .. math:: \tfrac12\big[\mathrm{KL}(q\,\|\,p) + \mathrm{KL}(p\,\|\,q)\big]
        = \tfrac12 \sum_c (p_c - q_c)(\log p_c - \log q_c), \qquad
        p = \mathrm{softmax}(x),\ q = \mathrm{softmax}(y)

    Parameters
    ----------
    x_logits : array (..., C)
        Logits of one pass, the C classes on `axis`.
    y_logits : array (..., C)
        Logits of the other; broadcasts against the first.
    stop_gradient : bool
        Treat the target of each divergence (its first distribution) as a constant, as the official
        code does.
    axis : int
        The class axis.
    where : boolean array, broadcastable to the logits
        True where a class takes part.  Shape (..., 1) keeps or drops whole rows.
    weight : array, broadcastable to the unreduced loss
        Weights of the rows.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of rows that count (torch's "batchmean"), or by the sum of
        their weights.

    Returns
    -------
    array () or (...)
        The loss, or one per row with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.distillation_kl`.

    Notes
    -----
    Half of Jeffreys' divergence; the value doesn't depend on `stop_gradient`.  With it the
    derivatives by x and y are exactly (p - q) / 2 and (q - p) / 2, bounded whatever the logits.
    Each term of the sum is at least 0.  A class that one distribution has and the other has not
    costs +inf; a class that neither has costs 0.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.log(np.asarray([[1.0, 3.0]])), np.log(np.asarray([[3.0, 1.0]]))
    >>> am.symmetric_kl_div(x, y) / np.log(3.0)
    np.float64(0.5)

    References
    ----------
    .. [1] Q. Zhang et al., "Split & merge: unlocking the potential of visual adapters via sparse
       training", arXiv:2312.02923, 2023.
    """
    pr = pair(
        "symmetric_kl_div", axis=axis, where=where, weight=weight, reduction=reduction,
        x_logits=x_logits, y_logits=y_logits,
    )  # fmt: skip
    xp, p, q = pr.xp, pr.first, pr.second
    change = p.probabilities() - q.probabilities()
    if stop_gradient:
        change = _array.stop_gradient(change)
    ratio = select(xp, p.keep & q.keep, p.logp - q.logp)
    loss = with_infinite(xp, 0.5 * xp.sum(change * ratio, axis=-1), p.keep ^ q.keep)
    return pr.finish(loss, reduction)


@form(
    shapes="a: N ..., b: N ... -> ", papers=("2312.02923",), cost="O(n)", level="module"
)  # fmt: skip
def hidden_mse(a: Array, b: Array, /, *, coeff: float = 0.01, reduction: str = "mean") -> Array:
    r"""Mean squared difference of hidden states, layer by layer.

    .. math:: \frac{c}{L} \sum_{\ell=1}^{L} \operatorname{mean}_i (a_{\ell i} - b_{\ell i})^2

    Parameters
    ----------
    a : array (L, ...)
        Hidden states of one pass, the layers first.
    b : array (L, ...)
        Hidden states of the other.
    coeff : float
        c multiplies the finished mean.
    reduction : {"mean", "sum", "none"}
        Over the layers.

    Returns
    -------
    array () or (L,)
        The loss, or one per layer with ``reduction="none"``.

    Raises
    ------
    TypeError
        An argument is no real array.
    ValueError
        The shapes differ or have no axis of layers, or `reduction` is unknown.

    Notes
    -----
    The official code has six layers, here any number fits.  Layers without an element, and a mean
    over no layers, cost 0.  The derivative by `a` is 2 c (a - b) / n, with n elements in all.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.losses.hidden_mse(np.asarray([[1.0, 3.0], [0.0, 2.0]]), np.zeros((2, 2)), coeff=1.0)
    np.float64(3.5)

    References
    ----------
    .. [1] Q. Zhang et al., "Split & merge: unlocking the potential of visual adapters via sparse
       training", arXiv:2312.02923, 2023 (official code).
    """
    name = "hidden_mse"
    check_reduction(name, reduction)
    _array.required(name, a=a, b=b)
    if tuple(a.shape) != tuple(b.shape) or not a.ndim:
        raise ValueError(
            f"{name}: a has shape {_array.shape_text(a.shape)} and b "
            f"{_array.shape_text(b.shape)}; one shape (layers, ...) fits both"
        )
    e = elements(name, a=a, b=b)
    x, y = e.arrays
    square = (x - y) * (x - y)
    inner = tuple(range(1, a.ndim))
    count = max(_array.size(a.shape[1:]), 1)
    loss = e.xp.sum(square, axis=inner) / count if inner else square
    return _array.cast(e.xp, reduced(e.xp, coeff * loss, reduction), e.dtype)
