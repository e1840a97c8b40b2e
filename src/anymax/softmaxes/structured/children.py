"""Softmax over the children of a node of a class hierarchy."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._rows import rows


@form(
    shapes="logits: ... C, child_mask: ... C -> ... C",
    papers=("2308.14374",),
    cost="O(n)",
    level="module",
    primitives=("row_softmax",),
)
def masked_softmax_over_children(
    logits: Array, child_mask: Array, /, *, axis: int | tuple[int, ...] | None = -1
) -> Array:
    r"""Softmax over those classes that are children of a given coarser class.

    .. math:: p_c = \frac{m_c\, e^{x_c}}{\sum_{c'} m_{c'}\, e^{x_{c'}}}

    Parameters
    ----------
    logits : array (..., C)
        Logits of the finer level.
    child_mask : boolean array (..., C), broadcastable to `logits`
        True for the children of the example's coarse class.
    axis : int, tuple of ints or None
        Axes of the classes; None means all of them.

    Returns
    -------
    array (..., C)
        Weights that sum to one over the children; exactly 0 elsewhere.

    Raises
    ------
    TypeError
        `child_mask` is not boolean, or `logits` are no real array.
    ValueError
        `child_mask` does not broadcast to `logits`.
    IndexError
        `axis` is out of bounds.

    Notes
    -----
    This is :func:`anymax.softmax` with ``where=child_mask``, so that NaN in the logit of a class
    that is no child changes nothing.  A coarse class without children gives zeros, hence no pseudo
    label.  The step was reconstructed from the paper's text: its published code leaves it out.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> child = np.asarray([True, False, True])
    >>> am.softmaxes.masked_softmax_over_children(np.log(np.asarray([1.0, 5.0, 3.0])), child)
    array([0.25, 0.  , 0.75])

    References
    ----------
    .. [1] B. H. Lee, O. Jung, J. Choi, S. Y. Chun, "Online continual learning on hierarchical
       label expansion", ICCV 2023, arXiv:2308.14374, section 3.
    """
    name = "masked_softmax_over_children"
    _array.required(name, logits=logits, child_mask=child_mask)
    r = rows(name, logits, axis, child_mask)
    return r.finish(row_softmax(r.x, r.where, axis=r.axis, scale=1.0))
