"""Power softmax: powers of non-negative numbers, normalised."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.primitives._masked import kept, select
from anymax.primitives.row_softmax import row_softmax
from anymax.primitives.row_weights import row_weights
from anymax.softmaxes._rows import positive, rows


@form(shapes="x: ... C -> ... C", papers=("2405.14852",), cost="O(n)", primitives=("row_weights",))
def power_softmax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Powers of non-negative numbers, normalised to sum to one along `axis`.

    .. math:: p_i = \frac{x_i^{1/T}}{\sum_j x_j^{1/T}}

    Parameters
    ----------
    x : array (..., C)
        Numbers of at least 0, of any real dtype.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a number takes part.
    temperature : float or array
        T, positive; an array has size 1 along `axis` and is differentiated too.

    Returns
    -------
    array (..., C)
        Weights in [0, 1].

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    It is the softmax of :math:`\log x / T`, and :func:`anymax.luce_choice` under another name.  A
    number 0 has weight 0, and a row of zeros gives zeros, as an empty row does; a negative number
    gives NaN in its row, and -inf is masked.  The gradient at 0 is the derivative from the right
    for a temperature of 1.0, and 0 for any other and for arrays.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.power_softmax(np.asarray([1.0, 3.0, 0.0]), temperature=0.5)
    array([0.1, 0.9, 0. ])

    References
    ----------
    .. [1] V. Malinovskii et al., "PV-Tuning: Beyond Straight-Through Estimation for Extreme LLM
       Compression", NeurIPS 2024, arXiv:2405.14852 (its samplers of groups and of roundings).
    """
    return power("power_softmax", x, axis, where, temperature)


def power(
    function: str,
    x: Array,
    axis: int | tuple[int, ...] | None,
    where: Array | None,
    temperature: float | Array,
) -> Array:
    """The body that `power_softmax` and `luce_choice` share."""
    if temperature is None or _array.is_scalar(temperature):
        value = (1.0 / positive(function, "temperature", temperature),)
        r = rows(function, x, axis, where)
        return r.finish(row_weights(r.x, r.where, None, axis=r.axis, kind="power", value=value))
    _array.required(function, x=x)
    xp = _array.namespace(function, x=x, where=where, temperature=temperature)
    x, temperature = _array.promote(xp, function, x=x, temperature=temperature)
    r = rows(function, x, axis, where)
    wide = _array.widen(xp, r.x)
    live = kept(xp, wide, r.where) & (wide != 0)
    z = xp.log(select(xp, live, wide, 1.0))
    if r.scalar and temperature.ndim:
        temperature = temperature[..., None]
    q = rows(function, z, r.axis, live, _array.widen(xp, temperature))
    y = row_softmax(q.x, q.where, axis=q.axis, scale=q.scale)
    return r.finish(_array.cast(xp, y, x.dtype))
