"""Kullback-Leibler divergences of distillation, and the mixtures that bound them."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import class_axis, class_last
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses.divergences._pair import check_weight, kl, kl_to_mixture, pair, with_infinite
from anymax.primitives._masked import select
from anymax.softmaxes._operands import common_shape, operands, spread

_SHAPES = "student_logits: ... C, teacher_logits: ... C -> ..."
_PRIMITIVES = ("row_log_softmax",)
DIRECTIONS = ("forward", "reverse")


@form(shapes="logp: ... C, target: ... C -> ...", cost="O(n)")
def kl_div(
    logp: Array,
    target: Array,
    /,
    *,
    log_target: bool = False,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Kullback-Leibler divergence of a distribution, given by log-probabilities, from a target.

    .. math:: \mathrm{KL}(t \,\|\, e^{\mathrm{logp}}) = \sum_c t_c\,(\log t_c - \mathrm{logp}_c)

    Parameters
    ----------
    logp : array (..., C)
        Log-probabilities of the C classes on `axis`; they need not be normalised.
    target : array (..., C)
        Probabilities, or their logarithms with `log_target`; broadcasts against `logp`.
    log_target : bool
        Whether `target` holds log-probabilities; -inf is probability 0.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logp`
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
    TypeError
        An argument has the wrong kind of dtype, or arrays of two libraries are mixed.
    ValueError
        Shapes do not fit, or `reduction` is unknown.
    IndexError
        `axis` is out of bounds.

    Notes
    -----
    The order of arguments is torch's.  The sum runs over `axis`, so that "mean" is torch's
    "batchmean" for two axes; torch's mean over all elements is no divergence and isn't offered.
    0 log 0 is 0; a target above 0 on a class of log-probability -inf costs +inf.  A row of `logp`
    with nothing kept but -inf costs 0 and leaves the mean.  The derivative by `logp` is -t.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> t = np.asarray([[0.5, 0.5, 0.0]])
    >>> am.kl_div(np.log(np.asarray([[0.25, 0.25, 0.5]])), t) / np.log(2.0)
    np.float64(1.0)

    References
    ----------
    .. [1] S. Kullback, R. A. Leibler, "On information and sufficiency", Annals of Mathematical
       Statistics 22, 1951.
    """
    name = "kl_div"
    check_reduction(name, reduction)
    _array.namespace(name, logp=logp, target=target, where=where, weight=weight)
    _array.required(name, logp=logp, target=target)
    given = operands(name, logp=logp, target=target, weight=weight)
    xp, (q, t, weight) = given.xp, given.arrays
    shape = common_shape(name, logp=q, target=t)
    axis = class_axis(name, axis, len(shape))
    _array.check_mask(name, "where", where, shape, "logp")
    check_weight(name, weight, shape[:axis] + shape[axis + 1 :])
    q, t = (class_last(xp, spread(xp, x, shape), axis) for x in (q, t))
    q_keep = q != -xp.inf
    t_keep = t != (-xp.inf if log_target else 0)
    if where is not None:
        where = class_last(xp, xp.broadcast_to(where, shape), axis)
        q_keep, t_keep = q_keep & where, t_keep & where
    loss = _kl_of(xp, select(xp, q_keep, q), q_keep, t, t_keep, log_target)
    y = reduced(xp, loss, reduction, live=xp.any(q_keep, axis=-1), weight=weight)
    return _array.cast(xp, y, given.dtype)


def _kl_of(xp: Any, q: Array, q_keep: Array, t: Array, t_keep: Array, log_target: bool) -> Array:
    """Sums of t (log t - q) over the classes that both have."""
    both = q_keep & t_keep
    if log_target:
        log_t = select(xp, t_keep, t)
        t = select(xp, t_keep, xp.exp(log_t))
    else:
        log_t = xp.log(select(xp, t_keep, t, 1.0))
        t = select(xp, t_keep, t)
    loss = xp.sum(t * select(xp, both, log_t - q), axis=-1)
    return with_infinite(xp, loss, t_keep & ~q_keep)


@form(
    shapes=_SHAPES, papers=("1503.02531", "2410.20672"), cost="O(n)", primitives=_PRIMITIVES
)  # fmt: skip
def distillation_kl(
    student_logits: Array,
    teacher_logits: Array,
    /,
    *,
    direction: str = "forward",
    temperature: float | Array = 1.0,
    scale_by_t2: bool = True,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Kullback-Leibler divergence between the softmaxes of a student and a teacher.

    .. math::

        T^2\,\mathrm{KL}(t \,\|\, s) = T^2 \sum_c t_c\,(\log t_c - \log s_c), \qquad
        t = \mathrm{softmax}(\text{teacher}/T),\quad s = \mathrm{softmax}(\text{student}/T)

    Parameters
    ----------
    student_logits : array (..., C)
        Logits of the student, the C classes on `axis`.
    teacher_logits : array (..., C)
        Logits of the teacher; broadcasts against the student's.
    direction : {"forward", "reverse"}
        "forward" is KL(teacher || student), which covers; "reverse" is KL(student || teacher),
        which seeks a mode.
    temperature : float or array
        T divides all logits; positive.  An array has the shape of the unreduced loss.
    scale_by_t2 : bool
        Multiply by the square of T, which keeps the size of gradients.
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
    TypeError
        An argument has the wrong kind of dtype, or arrays of two libraries are mixed.
    ValueError
        Shapes do not fit, `temperature` isn't positive, `direction` or `reduction` is unknown.
    IndexError
        `axis` is out of bounds.

    Notes
    -----
    By the student's logits the derivative is T (s - t) forward and
    T s (log s - log t - KL) in reverse, with the square of T.  A class of logit -inf has
    probability 0: 0 log 0 is 0, and a class that only the first of the two distributions has costs
    +inf.  A row in which one of them has no class costs 0 and leaves the mean.  Logits may be of
    any size: all is done with logarithms.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> teacher, student = np.zeros((1, 2)), np.log(np.asarray([[1.0, 3.0]]))
    >>> am.distillation_kl(student, teacher, reduction="none")
    array([0.14384104])

    References
    ----------
    .. [1] G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network",
       arXiv:1503.02531, 2015, section 2.
    .. [2] S. Bae et al., "Relaxed recursive transformers", arXiv:2410.20672, 2024 (uptraining).
    """
    return logits_kl(
        "distillation_kl", direction, scale_by_t2, axis=axis, where=where, weight=weight,
        reduction=reduction, temperature=temperature, student_logits=student_logits,
        teacher_logits=teacher_logits,
    )  # fmt: skip


def logits_kl(
    function: str, direction: str, scale_by_t2: bool, *, reduction: str, **arguments: Any
) -> Array:
    """KL from the first to the second array of logits in reverse, the other way round forward."""
    if direction not in DIRECTIONS:
        raise ValueError(
            f"{function}: direction is {direction!r}; one of 'forward', 'reverse' fits"
        )
    p = pair(function, reduction=reduction, **arguments)
    loss = kl(p.second, p.first) if direction == "forward" else kl(p.first, p.second)
    return p.finish(loss, reduction, squared=scale_by_t2)


@form(shapes=_SHAPES, papers=("2306.13649",), cost="O(n)", primitives=_PRIMITIVES)
def generalized_jsd(
    student_logits: Array,
    teacher_logits: Array,
    /,
    *,
    beta: float = 0.5,
    temperature: float | Array = 1.0,
    scale_by_t2: bool = False,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Generalised Jensen-Shannon divergence between the softmaxes of a student and a teacher.

    .. math::

        \beta\,\mathrm{KL}(t \,\|\, m) + (1-\beta)\,\mathrm{KL}(s \,\|\, m), \qquad
        m = \beta t + (1-\beta) s

    with :math:`\mathrm{KL}(t\,\|\,s)` for :math:`\beta = 0` and :math:`\mathrm{KL}(s\,\|\,t)` for
    :math:`\beta = 1`.

    Parameters
    ----------
    student_logits : array (..., C)
        Logits of the student, the C classes on `axis`.
    teacher_logits : array (..., C)
        Logits of the teacher; broadcasts against the student's.
    beta : float
        Share of the teacher in the mixture m, in [0, 1].
    temperature : float or array
        Divides all logits; positive.  An array has the shape of the unreduced loss.
    scale_by_t2 : bool
        Multiply by the square of the temperature; the official code doesn't.
    axis : int
        The class axis.
    where : boolean array, broadcastable to the logits
        True where a class takes part.  Shape (..., 1) keeps or drops whole rows, as
        ``(labels != -100)[..., None]`` does.
    weight : array, broadcastable to the unreduced loss
        Weights of the rows.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of rows that count, or by the sum of their weights.

    Returns
    -------
    array () or (...)
        The loss, or one per row with ``reduction="none"``; at most log 2 for beta in (0, 1).

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.distillation_kl`; `beta` lies outside [0, 1].

    Notes
    -----
    The limits at 0 and 1 are those of the official code, not of the formula, which is 0 there: the
    function jumps (the divergence over beta tends to KL(t || s)).  Symmetric for beta = 1/2, where
    it is the Jensen-Shannon divergence.  Never infinite for beta in (0, 1): the mixture has all
    classes.  Differences of log-probabilities go through expm1 and log1p, so that distributions
    that agree in all but a few digits keep their divergence.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> apart = np.asarray([[0.0, -np.inf]]), np.asarray([[-np.inf, 0.0]])
    >>> am.generalized_jsd(*apart) / np.log(2.0)
    np.float64(1.0)

    References
    ----------
    .. [1] R. Agarwal et al., "On-policy distillation of language models: learning from
       self-generated mistakes", arXiv:2306.13649, 2024, equation 1.
    """
    name = "generalized_jsd"
    beta = _share(name, "beta", beta)
    p = pair(
        name, axis=axis, where=where, weight=weight, reduction=reduction, temperature=temperature,
        student_logits=student_logits, teacher_logits=teacher_logits,
    )  # fmt: skip
    student, teacher = p.first, p.second
    if beta == 0.0:
        loss = kl(teacher, student)
    elif beta == 1.0:
        loss = kl(student, teacher)
    else:
        loss = beta * kl_to_mixture(teacher, student, beta)
        loss = loss + (1.0 - beta) * kl_to_mixture(student, teacher, 1.0 - beta)
    return p.finish(loss, reduction, squared=scale_by_t2)


def _share(function: str, name: str, value: Any) -> float:
    """`value` as a float in [0, 1]."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} is {value!r}; a number in [0, 1] fits") from None
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{function}: {name} is {value}; a number in [0, 1] fits")
    return value


@form(shapes=_SHAPES, papers=("2402.03898",), cost="O(n)", primitives=_PRIMITIVES)
def skew_kl(
    student_logits: Array,
    teacher_logits: Array,
    /,
    *,
    alpha: float = 0.1,
    temperature: float | Array = 1.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Kullback-Leibler divergence of the teacher from a mixture of teacher and student.

    .. math:: \mathrm{KL}\big(t \,\|\, \alpha t + (1-\alpha) s\big)

    Parameters
    ----------
    student_logits : array (..., C)
        Logits of the student, the C classes on `axis`.
    teacher_logits : array (..., C)
        Logits of the teacher; broadcasts against the student's.
    alpha : float
        Share of the teacher in the mixture, in [0, 1].
    temperature : float or array
        Divides all logits; positive.  An array has the shape of the unreduced loss.
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
        The loss, or one per row with ``reduction="none"``; at most -log(alpha).

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.distillation_kl`; `alpha` lies outside [0, 1].

    Notes
    -----
    The plain divergence for alpha = 0, and 0 for alpha = 1.  The mixture has every class of the
    teacher, so that for alpha above 0 nothing is infinite and gradients stay bounded.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> apart = np.asarray([[0.0, -np.inf]]), np.asarray([[-np.inf, 0.0]])
    >>> am.skew_kl(*apart, alpha=0.125) / np.log(2.0)
    np.float64(3.0)

    References
    ----------
    .. [1] J. Ko, S. Kim, T. Chen, S.-Y. Yun, "DistiLLM: towards streamlined distillation for large
       language models", arXiv:2402.03898, 2024, section 3.1.
    """
    name = "skew_kl"
    alpha = _share(name, "alpha", alpha)
    p = pair(
        name, axis=axis, where=where, weight=weight, reduction=reduction, temperature=temperature,
        student_logits=student_logits, teacher_logits=teacher_logits,
    )  # fmt: skip
    student, teacher = p.first, p.second
    if 0.0 < alpha < 1.0:
        loss = kl_to_mixture(teacher, student, alpha)
    else:
        loss = kl(teacher, teacher if alpha else student)
    return p.finish(loss, reduction)
