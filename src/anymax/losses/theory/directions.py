"""Directions of matrices of weights: their correlation, and steps of one length."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import nonzero, select
from anymax.softmaxes._operands import operands

_PAPER = ("2308.16898",)


@form(shapes="w1: ..., w2: ... -> ", papers=_PAPER, level="module")
def direction_correlation(w1: Array, w2: Array, /) -> Array:
    r"""Cosine of the angle between two arrays, taken as vectors.

    .. math:: \frac{\langle W_1, W_2\rangle}{\lVert W_1\rVert_F\,\lVert W_2\rVert_F}

    Parameters
    ----------
    w1, w2 : array (...) and (...)
        Weights of one shape.

    Returns
    -------
    array ()
        In [-1, 1]; 0 if one of them is zero (0/0 = NaN in the official code).

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or the shapes differ.

    Notes
    -----
    Each is divided by its largest magnitude first, so that no square overflows.  The paper's
    measure of how far training has come: 1 - correlation with the solution of the attention SVM.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> float(am.losses.direction_correlation(np.asarray([3e200, 4e200]), np.asarray([1.0, 0.0])))
    0.6

    References
    ----------
    .. [1] D. A. Tarzanagh, Y. Li, C. Thrampoulidis, S. Oymak, "Transformers as support vector
       machines", 2023, section 3. arXiv:2308.16898.
    """
    name = "direction_correlation"
    xp, ops, (w1, w2) = _pair(name, w1=w1, w2=w2)
    return ops.finish(xp.sum(_direction(xp, w1) * _direction(xp, w2)))


def _pair(function: str, **arrays: Array) -> tuple[Any, Any, tuple[Array, ...]]:
    (a, x), (b, y), *_ = arrays.items()
    _array.required(function, **{a: x, b: y})
    ops = operands(function, **arrays)
    if tuple(x.shape) != tuple(y.shape):
        raise ValueError(
            f"{function}: {a} has shape {_array.shape_text(x.shape)} and {b} has "
            f"{_array.shape_text(y.shape)}; the same shape fits"
        )
    return ops.xp, ops, ops.arrays


def _direction(xp: Any, x: Array) -> Array:
    """`x` divided by its Frobenius norm; zero stays zero, with gradient zero."""
    if 0 in x.shape:
        return x * 1.0
    top = xp.max(xp.abs(_array.stop_gradient(x)))
    zero = top == 0
    x = x / nonzero(xp, top)
    square = xp.sum(x * x)
    return select(xp, ~zero, x / xp.sqrt(select(xp, ~zero, square, 1.0)))


@form(shapes="w: ..., grad: ... -> ...", papers=_PAPER, level="module")
def normalized_gradient_step(w: Array, grad: Array, /, *, lr: float | Array = 0.1) -> Array:
    r"""A gradient step of a length that doesn't depend on the gradient's size.

    .. math:: W - \eta\,\frac{G}{\lVert G\rVert_F}

    Parameters
    ----------
    w : array (...)
        Weights.
    grad : array (...)
        G, the gradient of a loss by W, of the same shape.
    lr : float or array ()
        :math:`\eta`, the length of the step.

    Returns
    -------
    array (...)
        The weights after the step; unchanged where the gradient is zero.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or the shapes differ.

    Notes
    -----
    Losses of separable data have gradients that vanish as W grows; with steps of one length its
    direction still converges.  The gradient is divided by its largest magnitude first, so that
    gradients of 1e-200 have a direction.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> grad = np.asarray([3e-200, 4e-200])
    >>> am.losses.normalized_gradient_step(np.zeros(2), grad, lr=0.5)
    array([-0.3, -0.4])

    References
    ----------
    .. [1] D. A. Tarzanagh, Y. Li, C. Thrampoulidis, S. Oymak, "Transformers as support vector
       machines", 2023, section 3. arXiv:2308.16898.
    """
    name = "normalized_gradient_step"
    if lr is None:
        raise TypeError(f"{name}: lr is None; a number or an array fits")
    xp, ops, (w, grad, lr) = _pair(name, w=w, grad=grad, lr=lr)
    if not _array.is_scalar(lr):
        _array.check_broadcast(name, "lr", lr, (), "a scalar")
    return ops.finish(w - lr * _direction(xp, grad))
