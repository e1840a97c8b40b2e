"""Errors that quantization of weights makes in the outputs of a layer."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.softmaxes._operands import check_count, common_shape, operands

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
