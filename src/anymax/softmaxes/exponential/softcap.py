"""Soft capping: logits squeezed into (-cap, cap) by a hyperbolic tangent."""

from __future__ import annotations

import math

from anymax import _array
from anymax._array import Array
from anymax._form import form


@form(shapes="x: ... -> ...", papers=("2408.00118",), cost="O(n)")
def softcap(x: Array, /, *, cap: float | None) -> Array:
    r"""Logits squeezed smoothly between -cap and cap.

    .. math:: y = c\,\tanh(x / c)

    Parameters
    ----------
    x : array (...)
        Logits of any real dtype.
    cap : float or None
        The bound c, positive; None or infinity leaves `x` as it is.  Gemma 2 has 50 for attention
        and 30 for the final logits.

    Returns
    -------
    array (...)
        The capped logits.

    Raises
    ------
    TypeError
        `x` is complex or no array.
    ValueError
        `cap` is not positive.

    Notes
    -----
    Scale first, then cap, then mask: a logit of -inf becomes -cap here, and no longer masks.  The
    slope is :math:`1 - (y/c)^2`; near 0 the error of :math:`y \approx x` is :math:`x^3/(3c^2)`.
    A softmax of capped logits keeps every weight above :math:`1/(1 + (n-1)\,e^{2c})`.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softcap(np.asarray([0.0, 1.0, -100.0]), cap=2.0)
    array([ 0.        ,  0.92423431, -2.        ])

    References
    ----------
    .. [1] Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size",
       arXiv:2408.00118.
    .. [2] I. Bello, H. Pham, Q. V. Le, M. Norouzi, S. Bengio, "Neural Combinatorial Optimization
       with Reinforcement Learning", arXiv:1611.09940.
    """
    _array.required("softcap", x=x)
    xp = _array.namespace("softcap", x=x)
    (x,) = _array.promote(xp, "softcap", x=x)
    if cap is None or cap == math.inf:
        return _array.cast(xp, x * 1.0, x.dtype)  # a new array: results never alias arguments
    if not cap > 0:
        raise ValueError(f"softcap: cap is {cap}; a positive number, infinity or None fits")
    cap = float(cap)
    return _array.cast(xp, cap * xp.tanh(_array.widen(xp, x) / cap), x.dtype)
