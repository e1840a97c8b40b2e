"""Attention as regression: the objective of the complexity of LoRA, and its gradient in factors."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives.attend import attend
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._operands import common_shape, operands, spread

_PAPER = ("2406.03136",)
_LOSS = "x1: ... L D, x2: ... S D, w: D D, h: ... S Dv, target: ... L Dv -> "


@form(shapes=_LOSS, papers=_PAPER, cost="O(L S (D + Dv))", primitives=("attend",))
def attention_regression_loss(
    x1: Array,
    x2: Array,
    w: Array,
    h: Array,
    target: Array,
    /,
    *,
    scale: float = 1.0,
    reduction: str = "sum",
) -> Array:
    r"""Half the squared Frobenius distance between softmax attention and a target.

    .. math:: \mathcal L = \tfrac12\,\lVert f h - E\rVert_F^2,\qquad
        f = \mathrm{softmax}_{\text{rows}}(\beta\, X_1 W X_2^\top)

    Parameters
    ----------
    x1 : array (..., L, D)
        What asks: L rows.
    x2 : array (..., S, D)
        What is attended to: S rows.
    w : array (D, D)
        Product of the query and key weights, :math:`W_Q W_K^\top`.
    h : array (..., S, Dv)
        Values, :math:`X_3 W_V`.
    target : array (..., L, Dv)
        E, what attention should give.
    scale : float
        :math:`\beta`: 1 here, 1/D in the papers on its complexity, :math:`D^{-1/2}` in practice.
    reduction : {"sum", "mean", "none"}
        The paper's objective is the sum.  "none" gives the loss of each of the L rows.

    Returns
    -------
    array () or (..., L)
        A scalar, or the losses of the rows with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or shapes or the reduction don't fit.

    Notes
    -----
    With c = f h - E, the gradient by W is :math:`\beta X_1^\top p X_2` where
    :math:`p = f \circ (c h^\top) - \mathrm{diag}(r) f` and
    :math:`r_i = \langle (f h)_i, c_i\rangle`: the backward pass of attention.  Attention kernels
    store no L x S array.  Low-rank adaptation replaces W by :math:`W_0 + (\alpha / r) B A`, whose
    gradients
    :func:`anymax.losses.lora_attention_gradient` gives.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, w = np.eye(2), np.zeros((2, 2))
    >>> float(am.attention_regression_loss(x, x, w, np.asarray([[1.0], [3.0]]), np.zeros((2, 1))))
    4.0

    References
    ----------
    .. [1] J. Y.-C. Hu et al., "Computational limits of low-rank adaptation (LoRA) fine-tuning for
       transformer models", 2024, section 3. arXiv:2406.03136.
    """
    name = "attention_regression_loss"
    check_reduction(name, reduction)
    _array.required(name, x1=x1, x2=x2, w=w, h=h, target=target)
    ops = operands(name, x1=x1, x2=x2, w=w, h=h, target=target)
    xp, (x1, x2, w, h, target) = ops.xp, ops.arrays
    _shapes.check(name, _LOSS, {"x1": x1, "x2": x2, "w": w, "h": h, "target": target})
    q, k, v = (xp.expand_dims(x, axis=-3) for x in (xp.matmul(x1, w), x2, h))
    none = (None,) * 6
    out, _ = attend(
        q, k, v, *none, scale=float(scale), causal=False, window=None, softcap=None
    )  # fmt: skip
    out = xp.squeeze(out, axis=-3)
    shape = common_shape(name, attention=out, target=target)
    c = spread(xp, out, shape) - spread(xp, target, shape)
    return ops.finish(reduced(xp, 0.5 * xp.sum(c * c, axis=-1), reduction))


@form(
    shapes="u1: ... L R, u2: ... S R, c: ... L Dv, h: ... S Dv -> ... L RDv, ... S RDv",
    papers=_PAPER,
    cost="O((L + S) R Dv)",
    level="module",
)
def khatri_rao_lowrank(u1: Array, u2: Array, c: Array, h: Array, /) -> tuple[Array, Array]:
    r"""Factors of the elementwise product of two matrices that are given by factors.

    .. math:: (U_1 U_2^\top) \circ (C H^\top) = (U_1 \ast C)(U_2 \ast H)^\top

    with the row-wise Khatri-Rao product :math:`(U \ast C)_i = U_i \otimes C_i`.

    Parameters
    ----------
    u1, u2 : array (..., L, R) and (..., S, R)
        Factors of the first matrix, L by S of rank R.
    c, h : array (..., L, Dv) and (..., S, Dv)
        Factors of the second matrix, of rank Dv.

    Returns
    -------
    left : array (..., L, R * Dv)
        :math:`U_1 \ast C`, the Dv products of each column of `u1` side by side.
    right : array (..., S, R * Dv)
        :math:`U_2 \ast H`.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, or the shapes don't fit.

    Notes
    -----
    Exact.  With a softmax matrix of low rank, :math:`f \approx U_1 U_2^\top`, the gradient's
    :math:`f \circ (c h^\top)` has rank R Dv, and multiplies a matrix in time linear in L and S.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> u, c = np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 5.0]])
    >>> am.losses.khatri_rao_lowrank(u, u, c, c)[0]
    array([[ 3.,  5.,  6., 10.]])

    References
    ----------
    .. [1] J. Y.-C. Hu et al., "Computational limits of low-rank adaptation (LoRA) fine-tuning for
       transformer models", 2024, section 4. arXiv:2406.03136.
    """
    name = "khatri_rao_lowrank"
    _array.required(name, u1=u1, u2=u2, c=c, h=h)
    ops = operands(name, u1=u1, u2=u2, c=c, h=h)
    xp, (u1, u2, c, h) = ops.xp, ops.arrays
    shapes = "u1: ... L R, u2: ... S R, c: ... L Dv, h: ... S Dv ->"
    _shapes.check(name, shapes, {"u1": u1, "u2": u2, "c": c, "h": h})
    return ops.finish(_row_products(xp, u1, c)), ops.finish(_row_products(xp, u2, h))


def _row_products(xp: Any, u: Array, c: Array) -> Array:
    y = u[..., :, None] * c[..., None, :]
    return xp.reshape(y, (*y.shape[:-2], y.shape[-2] * y.shape[-1]))


_GRADIENT = "x1: ... L D, x2: ... S D, w0: D D, lora_a: R D, lora_b: D R"


@form(
    shapes=f"{_GRADIENT} -> R D, D R",
    papers=_PAPER,
    cost="O(L S (D + Dv) + (L + S) D R)",
    level="module",
    primitives=("row_softmax",),
)
def lora_attention_gradient(
    x1: Array,
    x2: Array,
    w0: Array,
    lora_a: Array,
    lora_b: Array,
    inputs: tuple[Array, Array],
    /,
    *,
    lora_alpha: float | None = None,
    scale: float = 1.0,
) -> tuple[Array, Array]:
    r"""Gradients of the attention regression loss by the two factors of a low-rank update.

    .. math:: W = W_0 + \tfrac{\alpha}{R} B A,\qquad
        \frac{\partial\mathcal L}{\partial B} = \tfrac{\alpha}{R}\, G A^\top,\qquad
        \frac{\partial\mathcal L}{\partial A} = \tfrac{\alpha}{R}\, B^\top G,\qquad
        G = \beta X_1^\top p X_2

    Parameters
    ----------
    x1 : array (..., L, D)
        What asks.
    x2 : array (..., S, D)
        What is attended to.
    w0 : array (D, D)
        Frozen weights.
    lora_a : array (R, D)
        A.
    lora_b : array (D, R)
        B.
    inputs : tuple of arrays (..., S, Dv) and (..., L, Dv)
        Values `h` and `target`, as in :func:`anymax.attention_regression_loss`.
    lora_alpha : float, optional
        :math:`\alpha`; None is R, which makes the factor 1.
    scale : float
        :math:`\beta`.

    Returns
    -------
    da : array (R, D)
        Gradient by A.
    db : array (D, R)
        Gradient by B.

    Raises
    ------
    TypeError, ValueError
        An array has no real dtype, `inputs` is no pair, or the shapes don't fit.

    Notes
    -----
    Of the sum over all rows and batch axes.  Neither B A nor G is formed: the update is applied as
    (x1 B) A, and G only between the small factors.  B = 0, as adaptation starts, gives A no
    gradient.  The L x S weights are formed.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, a, b = np.eye(2), np.ones((1, 2)), np.zeros((2, 1))
    >>> inputs = (np.asarray([[1.0], [3.0]]), np.zeros((2, 1)))
    >>> am.losses.lora_attention_gradient(x, x, np.zeros((2, 2)), a, b, inputs)[0]
    array([[0., 0.]])

    References
    ----------
    .. [1] J. Y.-C. Hu et al., "Computational limits of low-rank adaptation (LoRA) fine-tuning for
       transformer models", 2024, section 3. arXiv:2406.03136.
    """
    name = "lora_attention_gradient"
    if not isinstance(inputs, (tuple, list)) or len(inputs) != 2:
        raise TypeError(f"{name}: inputs is no pair; (h, target) fits")
    h, target = inputs
    given = {"x1": x1, "x2": x2, "w0": w0, "lora_a": lora_a, "lora_b": lora_b}
    given = {**given, "h": h, "target": target}
    _array.required(name, **given)
    ops = operands(name, **given)
    xp, (x1, x2, w0, a, b, h, target) = ops.xp, ops.arrays
    text = f"{_GRADIENT}, h: ... S Dv, target: ... L Dv ->"
    _shapes.check(name, text, dict(zip(given, ops.arrays)))
    factor = 1.0 if lora_alpha is None else float(lora_alpha) / max(a.shape[0], 1)
    narrow = xp.matmul(x1, b)
    q = xp.matmul(x1, w0) + factor * xp.matmul(narrow, a)
    s = float(scale) * xp.matmul(q, xp.matrix_transpose(x2))
    f = row_softmax(s, None, axis=(s.ndim - 1,), scale=1.0)
    out = xp.matmul(f, h)
    c = out - target
    r = xp.sum(out * c, axis=-1, keepdims=True)
    p = f * (xp.matmul(c, xp.matrix_transpose(h)) - r) * (float(scale) * factor)
    da = _summed(xp, xp.matmul(xp.matrix_transpose(narrow), xp.matmul(p, x2)))
    mixed = xp.matmul(p, xp.matmul(x2, xp.matrix_transpose(a)))
    db = _summed(xp, xp.matmul(xp.matrix_transpose(x1), mixed))
    return ops.finish(da), ops.finish(db)


def _summed(xp: Any, x: Array) -> Array:
    """`x` summed over its batch axes: the weights are shared."""
    batch = tuple(range(x.ndim - 2))
    return xp.sum(x, axis=batch) if batch else x
