"""Errors that quantization of weights makes in the outputs of a layer."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import flat_mask
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives.linear_kl_div import linear_kl_div as kl_of_rows
from anymax.softmaxes._operands import beside_tape, check_count, common_shape, operands
from anymax.softmaxes._rows import positive

_GRAM = "w: ... O I, reference: ... O I, gram: I I -> ... O"
_SEARCH = "w: O I, reference: O I, x: N I -> O"


@form(shapes=_GRAM, papers=("2405.14852",), cost="O(O I^2)", level="module")
def activation_mse(w: Array, reference: Array, gram: Array, /) -> Array:
    r"""Squared error of each output of a layer whose weights were changed.

    .. math:: e_o = (w_o - r_o)^\top G\,(w_o - r_o) = \lVert X (w_o - r_o) \rVert^2, \qquad
        G = X^\top X

    Parameters
    ----------
    w : array (..., O, I)
        Weights, e.g. quantised ones.
    reference : array (..., O, I)
        The weights in whose place they are.
    gram : array (I, I)
        Gram matrix of the inputs; divided by their number the errors are means.

    Returns
    -------
    array (..., O)
        Errors.

    Raises
    ------
    TypeError
        An argument is no real array.
    ValueError
        Shapes do not fit.

    Notes
    -----
    The official code expands the square into three terms, which cancel and can turn negative; the
    difference is formed first here.  The derivative by w is ``2 (w - r) G`` for a symmetric G.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> w, reference = np.asarray([[1.0, 2.0]]), np.zeros((1, 2))
    >>> am.losses.activation_mse(w, reference, np.eye(2))
    array([5.])

    References
    ----------
    .. [1] V. Malinovskii et al., "PV-Tuning: beyond straight-through estimation for extreme LLM
       compression", arXiv:2405.14852, 2024.
    """
    name = "activation_mse"
    _array.required(name, w=w, reference=reference, gram=gram)
    given = operands(name, w=w, reference=reference, gram=gram)
    w, reference, gram = given.arrays
    _shapes.check(name, _GRAM, {"w": w, "reference": reference, "gram": gram})
    common_shape(name, w=w, reference=reference)
    xp, d = given.xp, w - reference
    return given.finish(xp.sum(xp.matmul(d, gram) * d, axis=-1))


@form(shapes=_SEARCH, papers=("2310.04836",), cost="O(N O I)", level="module")
def quantization_search_mse(
    w: Array, reference: Array, x: Array, /, *, group_size: int | None = None
) -> Array:
    r"""Mean squared error of the outputs of a layer whose weights were changed, row by row.

    .. math:: e_o = \frac1N \sum_{n} \big(x_n^\top (w_o - r_o)\big)^2

    or, with groups, the same of each group of inputs by itself.

    Parameters
    ----------
    w : array (O, I)
        Weights, e.g. quantised ones.
    reference : array (O, I)
        The weights in whose place they are.
    x : array (N, I)
        Inputs of the layer.
    group_size : int, optional
        Size of the groups of inputs; divides I.

    Returns
    -------
    array (O,) or (O, I / group_size)
        Errors: what the search of scales and zero points minimises.

    Raises
    ------
    TypeError
        An argument is no real array, or `group_size` no integer.
    ValueError
        Shapes do not fit, or `group_size` doesn't divide I.

    Notes
    -----
    Errors of groups do not add up to the error of the row: their products are missing.  No inputs
    give an error of 0.  The official search runs in bfloat16; sums are in float32 here.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> w, reference, x = np.asarray([[1.0, 2.0]]), np.zeros((1, 2)), np.eye(2)
    >>> am.losses.quantization_search_mse(w, reference, x)
    array([2.5])
    >>> am.losses.quantization_search_mse(w, reference, x, group_size=1)
    array([[0.5, 2. ]])

    References
    ----------
    .. [1] L. Zhang et al., "Dual grained quantization: efficient fine-grained quantization for
       LLM", arXiv:2310.04836, 2023, section 3.
    """
    name = "quantization_search_mse"
    _array.required(name, w=w, reference=reference, x=x)
    given = operands(name, w=w, reference=reference, x=x)
    w, reference, x = given.arrays
    _shapes.check(name, _SEARCH, {"w": w, "reference": reference, "x": x})
    xp, d = given.xp, w - reference
    if group_size is None:
        error = xp.matmul(x, xp.matrix_transpose(d))  # (N, O)
    else:
        d, x = _grouped(xp, name, d, x, check_count(name, "group_size", group_size))
        error = xp.matmul(x, d)  # (G, N, O)
    mean = xp.sum(error * error, axis=-2) / max(x.shape[-2], 1)
    return given.finish(mean if group_size is None else xp.matrix_transpose(mean))


def _grouped(xp: Any, function: str, d: Array, x: Array, size: int) -> tuple[Array, Array]:
    """Differences (G, g, O) and inputs (G, N, g) of each group."""
    width = d.shape[-1]
    if width % size:
        raise ValueError(f"{function}: group_size is {size}, which does not divide I = {width}")

    def split(a: Array) -> Array:
        groups = xp.reshape(a, (a.shape[0], width // size, size))
        return xp.permute_dims(groups, (1, 0, 2))

    return xp.matrix_transpose(split(d)), split(x)


_LINEAR = "student_hidden: ... Ds, student_w: V Ds, teacher_hidden: ... Dt, teacher_w: V Dt -> "


@form(
    shapes=_LINEAR,
    papers=("2405.14852",),
    cost="O(n V (Ds + Dt)) time, O(chunk V) memory",
    primitives=("linear_kl_div",),
)
def linear_kl_div(
    student_hidden: Array,
    student_w: Array,
    teacher_hidden: Array,
    teacher_w: Array,
    /,
    *,
    temperature: float | Array = 1.0,
    chunk_size: int | None = None,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""KL divergence of a student's softmax from a teacher's, their logits computed in chunks.

    .. math:: \ell = \sum_v p_v\,(\log p_v - \log q_v),\qquad
        p = \mathrm{softmax}(h_t W_t^\top / T),\quad q = \mathrm{softmax}(h_s W_s^\top / T)

    Parameters
    ----------
    student_hidden : array (..., Ds)
        Hidden states of the student.
    student_w : array (V, Ds)
        The student's output matrix.
    teacher_hidden : array (..., Dt)
        Hidden states of the teacher, of the same batch.
    teacher_w : array (V, Dt)
        The teacher's output matrix.
    temperature : float or array ()
        T > 0, which divides the logits of both; an array is differentiated too.
    chunk_size : int, optional
        Tokens whose logits are held at a time; about 2**22 logits of each by default.
    where : boolean array, broadcastable to (..., V)
        True where a class takes part.  Shape (..., 1) keeps or drops whole examples.
    weight : array, broadcastable to (...)
        Weights of the examples.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the weights; the paper's code gives the losses of tokens.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another, a temperature or chunk that isn't positive.

    Notes
    -----
    Neither pair of n V logits is ever in memory at once: gradients compute them again, chunk by
    chunk (torch.func, torch.compile and forward mode store them).  The result doesn't depend on the
    chunk, nor on a number added to all logits of an example.  The teacher is differentiated, too;
    detach it if it is fixed.  A class of probability 0 costs 0 where the code's
    ``kl_div(log_target=True)`` gives NaN.

    .. math:: \partial\ell/\partial s = (q - p) / T, \qquad
        \partial\ell/\partial t = p\,\big(\log p - \log q - \ell\big) / T

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> h, w = np.eye(2), np.asarray([[0.0, 1.0], [2.0, 1.0]])
    >>> am.linear_kl_div(h, w, h, w, reduction="none")
    array([0., 0.])
    >>> am.linear_kl_div(h, w, h, w + 0.5 * np.eye(2), reduction="none").round(4)
    array([0.0167, 0.0303])

    References
    ----------
    .. [1] V. Malinovskii et al., "PV-Tuning: beyond straight-through estimation for extreme LLM
       compression", 2024. arXiv:2405.14852.
    """
    name = "linear_kl_div"
    check_reduction(name, reduction)
    given = {
        "student_hidden": student_hidden, "student_w": student_w,
        "teacher_hidden": teacher_hidden, "teacher_w": teacher_w,
    }  # fmt: skip
    _array.required(name, **given)
    xp = _array.namespace(name, **given, where=where, weight=weight, temperature=temperature)
    _shapes.check(name, _LINEAR, given)
    if tuple(student_hidden.shape[:-1]) != tuple(teacher_hidden.shape[:-1]):
        raise ValueError(
            f"{name}: student_hidden has shape {_array.shape_text(student_hidden.shape)} and "
            f"teacher_hidden {_array.shape_text(teacher_hidden.shape)}; their batch axes must match"
        )
    rows, num_classes = tuple(student_hidden.shape[:-1]), student_w.shape[0]
    _array.check_mask(name, "where", where, (*rows, num_classes), "the logits (..., V)")
    *four, weight, temperature = _array.promote(
        xp, name, **given, weight=weight, temperature=temperature
    )
    dtype = four[0].dtype
    h_s, w_s, h_t, w_t = (beside_tape(xp, _array.widen(xp, x)) for x in four)
    t = positive(name, "temperature", temperature) if _array.is_scalar(temperature) else temperature
    if not _array.is_scalar(t) or t != 1.0:
        t = t if _array.is_scalar(t) else beside_tape(xp, _array.widen(xp, t))
        h_s, h_t = h_s / t, h_t / t
    flat = None if where is None else flat_mask(xp, where, rows)
    count = _array.size(rows)
    cost = kl_of_rows(
        xp.reshape(h_s, (count, h_s.shape[-1])), w_s, xp.reshape(h_t, (count, h_t.shape[-1])), w_t,
        flat,
        chunk_size=None if chunk_size is None else check_count(name, "chunk_size", chunk_size),
    )  # fmt: skip
    live = None
    if flat is not None and num_classes:
        live = xp.reshape(xp.broadcast_to(xp.any(flat, axis=-1), (count,)), rows)
    if weight is not None:
        _array.check_broadcast(name, "weight", weight, rows, "the unreduced loss")
        weight = beside_tape(xp, _array.widen(xp, weight))
    y = reduced(xp, xp.reshape(cost, rows), reduction, live=live, weight=weight)
    return _array.cast(xp, y, dtype)
