"""Fenchel-Young losses: what sparsemax, entmax and normmax are trained with."""

from __future__ import annotations

from anymax._array import Array
from anymax._form import form
from anymax.losses.classification._fenchel_young import NORM, TSALLIS, loss_of

_PAPERS = ("1901.02324",)
_REGULARIZERS = {"tsallis": TSALLIS, "norm": NORM}


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=_PAPERS,
    cost="O(n)",
    primitives=("row_threshold", "row_softmax"),
)
def fenchel_young_loss(
    logits: Array,
    target: Array,
    /,
    *,
    regularizer: str = "tsallis",
    alpha: float | Array = 1.5,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""How far the regularised best response to the logits is from the target.

    .. math:: \ell_n = \Omega(t) + \max_{p\in\Delta}\big(\langle p,x\rangle-\Omega(p)\big)
              - \langle t,x\rangle,\qquad
              \Omega(p) = \begin{cases}\frac{1}{\alpha(\alpha-1)}\sum_c(p_c^\alpha-p_c)
              & \text{tsallis}\\ \lVert p\rVert_\alpha & \text{norm}\end{cases}

    Parameters
    ----------
    logits : array (..., C)
        Logits x, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities t.
    regularizer : {"tsallis", "norm"}
        The best response is :func:`anymax.entmax` or :func:`anymax.normmax`.
    alpha : float or array (...)
        Order; at least 1 for "tsallis", above 1 for "norm".  An array broadcasts to the unreduced
        loss and is differentiated too.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``, not negative, 0 only where the
        best response is the target.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; another regularizer, an alpha that is too small.

    Notes
    -----
    The gradient is :math:`p^*-t` in closed form, with no derivative of the threshold, by
    the envelope theorem; the Hessian is the Jacobian of :math:`p^*`.  With "tsallis", a label costs
    exactly 0 once its logit leads by :math:`1/(\alpha-1)`; alpha 1 is cross entropy (less the
    entropy of soft targets), 2 the sparsemax loss.  The largest logit is subtracted first.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.asarray([[1.0, 0.5, -1.0], [3.0, 0.0, 0.0]]), np.asarray([1, 0])
    >>> am.fenchel_young_loss(x, y, alpha=2.0, reduction="none")
    array([0.5625, 0.    ])

    References
    ----------
    .. [1] M. Blondel, A. F. T. Martins, V. Niculae, "Learning with Fenchel-Young Losses", JMLR 21,
       2020, arXiv:1901.02324.
    """
    if regularizer not in _REGULARIZERS:
        raise ValueError(
            f"fenchel_young_loss: regularizer is {regularizer!r}; 'tsallis' or 'norm' fits"
        )
    kind = _REGULARIZERS[regularizer]
    return loss_of(
        "fenchel_young_loss", kind, logits, target, alpha, axis, where, weight, reduction
    )


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=("1602.02068", *_PAPERS),
    cost="O(n)",
    primitives=("row_threshold",),
)
def sparsemax_loss(
    logits: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Fenchel-Young loss of sparsemax: half the squared distance to the simplex, made convex.

    .. math:: \ell_n = \max_{p\in\Delta}\big(\langle p,x\rangle-\tfrac12\lVert p\rVert^2\big)
              - \langle t,x\rangle+\tfrac12\lVert t\rVert^2

    Parameters
    ----------
    logits : array (..., C)
        Logits x, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities t.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`.

    Notes
    -----
    :func:`anymax.fenchel_young_loss` of order 2: the gradient is :func:`anymax.sparsemax` less
    the target, exactly 0 once the target's logit leads by 1.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.asarray([[1.0, 0.5, -1.0], [3.0, 0.0, 0.0]]), np.asarray([1, 0])
    >>> am.sparsemax_loss(x, y, reduction="none")
    array([0.5625, 0.    ])

    References
    ----------
    .. [1] A. F. T. Martins, R. F. Astudillo, "From Softmax to Sparsemax: A Sparse Model of
       Attention and Multi-Label Classification", ICML 2016, section 3. arXiv:1602.02068.
    .. [2] M. Blondel, A. F. T. Martins, V. Niculae, "Learning with Fenchel-Young Losses", JMLR 21,
       2020, arXiv:1901.02324.
    """
    return loss_of("sparsemax_loss", TSALLIS, logits, target, 2.0, axis, where, weight, reduction)


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=("1905.05702", *_PAPERS),
    cost="O(n)",
    primitives=("row_threshold",),
)
def entmax15_loss(
    logits: Array,
    target: Array,
    /,
    *,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Fenchel-Young loss of entmax with alpha = 1.5.

    .. math:: \ell_n = \max_{p\in\Delta}\big(\langle p,x\rangle-\Omega(p)\big)
              - \langle t,x\rangle+\Omega(t),\qquad \Omega(p) = \tfrac43\sum_c(p_c^{3/2}-p_c)

    Parameters
    ----------
    logits : array (..., C)
        Logits x, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities t.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`.

    Notes
    -----
    :func:`anymax.fenchel_young_loss` of order 1.5: the gradient is :func:`anymax.entmax15` less
    the target, exactly 0 once the target's logit leads by 2.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.asarray([[1.0, 1.0, -1.0], [3.0, 0.0, 0.0]]), np.asarray([1, 0])
    >>> am.entmax15_loss(x, y, reduction="none")
    array([0.39052429, 0.        ])

    References
    ----------
    .. [1] B. Peters, V. Niculae, A. F. T. Martins, "Sparse Sequence-to-Sequence Models", ACL 2019,
       arXiv:1905.05702.
    .. [2] M. Blondel, A. F. T. Martins, V. Niculae, "Learning with Fenchel-Young Losses", JMLR 21,
       2020, arXiv:1901.02324.
    """
    return loss_of("entmax15_loss", TSALLIS, logits, target, 1.5, axis, where, weight, reduction)


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=("1905.05702", *_PAPERS),
    cost="O(n)",
    primitives=("row_threshold", "row_softmax"),
)
def entmax_loss(
    logits: Array,
    target: Array,
    /,
    *,
    alpha: float | Array = 1.5,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Fenchel-Young loss of entmax of any order, between cross entropy and the sparsemax loss.

    .. math:: \ell_n = \max_{p\in\Delta}\big(\langle p,x\rangle-\Omega(p)\big)
              - \langle t,x\rangle+\Omega(t),\qquad
              \Omega(p) = \frac{1}{\alpha(\alpha-1)}\sum_c(p_c^\alpha-p_c)

    Parameters
    ----------
    logits : array (..., C)
        Logits x, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities t.
    alpha : float or array (...)
        At least 1: 1 is cross entropy, 2 the sparsemax loss.  An array broadcasts to the unreduced
        loss and is differentiated too.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; an alpha below 1 is refused.

    Notes
    -----
    :func:`anymax.fenchel_young_loss` with the regularizer "tsallis": the gradient is
    :func:`anymax.entmax` less the target, exactly 0 once the target's logit leads by
    :math:`1/(\alpha-1)`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.asarray([[1.0, 1.0, -1.0], [3.0, 0.0, 0.0]]), np.asarray([1, 0])
    >>> am.entmax_loss(x, y, alpha=np.asarray([1.0, 2.0]), reduction="none")
    array([0.75862368, 0.        ])

    References
    ----------
    .. [1] B. Peters, V. Niculae, A. F. T. Martins, "Sparse Sequence-to-Sequence Models", ACL 2019,
       arXiv:1905.05702.
    .. [2] M. Blondel, A. F. T. Martins, V. Niculae, "Learning with Fenchel-Young Losses", JMLR 21,
       2020, arXiv:1901.02324.
    """
    return loss_of("entmax_loss", TSALLIS, logits, target, alpha, axis, where, weight, reduction)


@form(
    shapes="logits: ... C, target: ... -> ",
    papers=_PAPERS,
    cost="O(n)",
    primitives=("row_threshold",),
)
def normmax_loss(
    logits: Array,
    target: Array,
    /,
    *,
    alpha: float | Array = 2.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Fenchel-Young loss of normmax, whose regularizer is a norm.

    .. math:: \ell_n = \max_{p\in\Delta}\big(\langle p,x\rangle-\lVert p\rVert_\alpha\big)
              - \langle t,x\rangle+\lVert t\rVert_\alpha

    Parameters
    ----------
    logits : array (..., C)
        Logits x, the C classes on `axis`.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities t.
    alpha : float or array (...)
        Order of the norm, above 1.  An array broadcasts to the unreduced loss and is differentiated
        too.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; an alpha of 1 or less is refused.

    Notes
    -----
    :func:`anymax.fenchel_young_loss` with the regularizer "norm": the gradient is
    :func:`anymax.normmax` less the target, exactly 0 once the target's logit leads by 1.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, y = np.asarray([[0.7, 0.7, -1.0], [3.0, 0.0, 0.0]]), np.asarray([1, 0])
    >>> am.normmax_loss(x, y, reduction="none")
    array([0.29289322, 0.        ])

    References
    ----------
    .. [1] M. Blondel, A. F. T. Martins, V. Niculae, "Learning with Fenchel-Young Losses", JMLR 21,
       2020, arXiv:1901.02324.
    """
    return loss_of("normmax_loss", NORM, logits, target, alpha, axis, where, weight, reduction)
