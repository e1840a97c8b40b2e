"""Exponentials as (mantissa, exponent) pairs, and the softmax that sums them without a maximum."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.primitives._masked import kept, nonzero, safe_max, select
from anymax.softmaxes._operands import Operands, operands
from anymax.softmaxes._rows import rows

Pair = tuple[Array, Array]

_LOG2_E = 1.4426950408889634
# ln 2 in two numbers of each precision, and the factor that splits one into halves (Dekker).
_PARTS = {
    "float32": (0.693147182464599609375, -1.904654299957767878541823431924500011926579e-9, 4097.0),
    "float64": (0.6931471805599453, 2.3190468138462996e-17, 134217729.0),
}
_FAR = {"float32": 2.0**22, "float64": 2.0**51}  # where x log2(e) stops resolving halves


@form(shapes="x: ... -> ..., ...", papers=("2001.04438",), level="module", cost="O(1)")
def exp_ext(x: Array, /) -> Pair:
    r"""Exponential as a mantissa and a power of two, which cannot overflow.

    .. math:: e^x = m\,2^n, \qquad n = \mathrm{round}(x \log_2 e), \quad m = e^{x - n\ln 2}

    Parameters
    ----------
    x : array (...)
        Exponents of any real dtype.

    Returns
    -------
    m : array (...)
        Between about :math:`\sqrt{1/2}` and :math:`\sqrt 2`.
    n : array (...)
        Whole numbers, as floats; -inf with m = 0 for x = -inf.

    Raises
    ------
    TypeError
        `x` has no real dtype.

    Notes
    -----
    ``n ln 2`` is subtracted with all of its digits, so m has the relative precision of the dtype
    for x of any size at which the dtype resolves exponentials at all; the official kernels, which
    trust n ln 2 rounded once, are off by a tenth at x = 1e8 in float32.  In a half type n is
    rounded to what the type holds and m makes up for it (from \|x\| about 180 on in bfloat16).
    NaN and +inf give NaN.  Derivatives flow through m; n is a constant.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> m, n = am.softmaxes.exp_ext(np.asarray([1000.0, -np.inf]))
    >>> n
    array([1443.,  -inf])
    >>> round(float(np.log(m[0]) + n[0] * np.log(2.0)), 6)
    1000.0

    References
    ----------
    .. [1] M. Dukhan, A. Ablavatski, "The two-pass softmax algorithm", arXiv:2001.04438, 2020.
    """
    _array.required("exp_ext", x=x)
    ops = operands("exp_ext", x=x)
    m, n = _split(ops.xp, ops.arrays[0], ops.dtype)
    return ops.finish(m), ops.finish(n)


def _split(xp: Any, x: Array, dtype: Any) -> Pair:
    """Mantissa and exponent in the dtype of x, the exponent a number that `dtype` holds too."""
    keep = x != -xp.inf
    fine = keep & (x != xp.inf)
    x0 = select(xp, fine, x)
    n = stop_gradient(x0) * _LOG2_E
    n = _array.cast(xp, _array.cast(xp, xp.round(n), dtype), x.dtype)
    big, small, _ = _PARTS.get(_array.dtype_name(x), _PARTS["float64"])
    product, rest = _exact_product(xp, n, big)
    t = ((x0 - product) - rest) - n * small
    m = select(xp, keep, xp.where(fine, xp.exp(t), xp.full_like(t, xp.nan)))
    return m, xp.where(fine, n, x)


def _exact_product(xp: Any, n: Array, factor: float) -> Pair:
    """n * factor as a rounded product and its rounding error."""
    split = _PARTS.get(_array.dtype_name(n), _PARTS["float64"])[2]
    f_high = factor * split - (factor * split - factor)
    if split == 4097.0:
        f_high = round(factor * 4096.0) / 4096.0
    f_low = factor - f_high
    n_high = n * split - (n * split - n)
    n_low = n - n_high
    product = n * factor
    return product, ((n_high * f_high - product) + n_high * f_low + n_low * f_high) + n_low * f_low


def _power(xp: Any, n: Array) -> Array:
    """2**n for whole n of at most 0 (-inf too), as a constant."""
    return 2.0 ** xp.where(n < -2.0e4, xp.full_like(n, -2.0e4), n)


@form(shapes="a: 2 ..., b: 2 ... -> ..., ...", papers=("2001.04438",), level="module", cost="O(1)")
def add_ext(a: Pair, b: Pair, /) -> Pair:
    r"""Sum of two numbers given as mantissa and power of two.

    .. math:: (m_1, n_1) + (m_2, n_2) = (m_1 2^{n_1 - n} + m_2 2^{n_2 - n},\ n), \qquad
        n = \max(n_1, n_2)

    Parameters
    ----------
    a, b : pair of arrays (...), or array (2, ...)
        Mantissas m and exponents n, as :func:`anymax.softmaxes.exp_ext` gives them.

    Returns
    -------
    m, n : array (...)
        The sum; its exponent is the larger one.

    Raises
    ------
    TypeError, ValueError
        `a` or `b` is no pair, or they don't broadcast.

    Notes
    -----
    The factors are at most 1, so nothing overflows.  The zero is (0, -inf); adding it changes no
    bit.  Commutative, and associative up to rounding: a sum of exponentials in any order, without
    knowing their maximum.  Exponents are constants for derivatives.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> one, three = (np.asarray(0.5), np.asarray(1.0)), (np.asarray(0.75), np.asarray(2.0))
    >>> m, n = am.softmaxes.add_ext(one, three)
    >>> float(m), float(n)
    (1.0, 2.0)

    References
    ----------
    .. [1] M. Dukhan, A. Ablavatski, "The two-pass softmax algorithm", arXiv:2001.04438, 2020.
    """
    ops, (m1, n1, m2, n2) = _pairs("add_ext", a, b)
    xp = ops.xp
    n = xp.maximum(n1, n2)
    m = _scaled(xp, m1, n1, n) + _scaled(xp, m2, n2, n)
    return ops.finish(m), ops.finish(n)


def _scaled(xp: Any, m: Array, n: Array, top: Array) -> Array:
    """m 2**(n - top), 0 for the zero."""
    some = n != -xp.inf
    top = xp.where(top == xp.inf, xp.full_like(top, xp.nan), top)
    return select(xp, some, m) * select(
        xp, some, _power(xp, select(xp, some, n) - select(xp, some, top))
    )


@form(shapes="a: 2 ..., b: 2 ... -> ..., ...", papers=("2001.04438",), level="module", cost="O(1)")
def mul_ext(a: Pair, b: Pair, /) -> Pair:
    r"""Product of two numbers given as mantissa and power of two.

    .. math:: (m_1, n_1) \cdot (m_2, n_2) = (m_1 m_2,\ n_1 + n_2)

    Parameters
    ----------
    a, b : pair of arrays (...), or array (2, ...)
        Mantissas m and exponents n.

    Returns
    -------
    m, n : array (...)
        The product, its mantissa not normalised.

    Raises
    ------
    TypeError, ValueError
        `a` or `b` is no pair, or they don't broadcast.

    Notes
    -----
    The zero is (0, -inf), times anything, NaN aside, the zero again.  Exponents are constants for
    derivatives.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> m, n = am.softmaxes.mul_ext(
    ...     (np.asarray(0.5), np.asarray(1.0)), (np.asarray(0.75), np.asarray(2.0)))
    >>> float(m), float(n)
    (0.375, 3.0)

    References
    ----------
    .. [1] M. Dukhan, A. Ablavatski, "The two-pass softmax algorithm", arXiv:2001.04438, 2020.
    """
    ops, (m1, n1, m2, n2) = _pairs("mul_ext", a, b)
    xp = ops.xp
    some = (n1 != -xp.inf) & (n2 != -xp.inf)
    n = select(xp, some, select(xp, some, n1) + select(xp, some, n2), -xp.inf)
    return ops.finish(m1 * m2), ops.finish(n)


def _pairs(function: str, a: Any, b: Any) -> tuple[Operands, tuple[Array, ...]]:
    """Four arrays of one dtype, from two pairs; exponents are constants."""
    parts = {}
    for name, pair in (("a", a), ("b", b)):
        if not isinstance(pair, (tuple, list)) and getattr(pair, "ndim", 0) > 0:
            pair = tuple(pair[i, ...] for i in range(pair.shape[0]))
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{function}: {name} is no pair of arrays; (mantissa, exponent) fits")
        parts[f"{name}[0]"], parts[f"{name}[1]"] = pair
    _array.required(function, **parts)
    ops = operands(function, **parts)
    m1, n1, m2, n2 = ops.arrays
    return ops, (m1, stop_gradient(n1), m2, stop_gradient(n2))


@form(shapes="x: ... C -> ... C", papers=("2001.04438",), level="module", cost="O(n)")
def two_pass_softmax(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    temperature: float | Array = 1.0,
) -> Array:
    r"""Softmax summed as mantissas and powers of two, so that no maximum is needed first.

    .. math::

        e^{x_i} = m_i 2^{n_i}, \qquad S\,2^E = \sum_i m_i 2^{n_i}, \qquad
        p_i = \frac{m_i}{S}\,2^{n_i - E}

    Parameters
    ----------
    x : array (..., C)
        Logits of any real dtype.
    axis : int, tuple of ints or None
        Axes to normalise over; None means all of them.
    where : boolean array, broadcastable to `x`
        True where a logit takes part.
    temperature : float or array
        Divides the logits; positive, size 1 along `axis`.

    Returns
    -------
    array (..., C)
        The weights of :func:`anymax.softmax`, to a few roundings.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.softmax`.

    Notes
    -----
    The algorithm reads a row twice and writes it once, where the usual ones read it three times; it
    pays for this with an exponential more an element, and wins where memory is the limit: at most
    1.33 times, 3 passes for 4.  This is array code, which states the arithmetic and makes more
    passes than either; ``bench/claims/two_pass.py`` times both algorithms as kernels.  The official
    kernels turn a row with a logit of -inf into NaN (here it is masked), and lose digits above
    \|x\| of 3e6 in float32 (here the maximum of such a row is subtracted after all).

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.softmaxes.two_pass_softmax(np.asarray([-np.inf, 1e4, 1e4]))
    array([0. , 0.5, 0.5])

    References
    ----------
    .. [1] M. Dukhan, A. Ablavatski, "The two-pass softmax algorithm", arXiv:2001.04438, 2020.
    """
    r = rows("two_pass_softmax", x, axis, where, temperature)
    ops = operands("two_pass_softmax", x=r.x)
    xp, (z,) = ops.xp, ops.arrays
    keep = kept(xp, z, r.where)
    z = select(xp, keep, z)
    z = _near(xp, z * r.scale if r.scale != 1.0 else z, keep, r.axis)
    m, n = _split(xp, z, z.dtype)
    top = safe_max(xp, n, keep, r.axis)
    part = select(xp, keep, _scaled(xp, m, n, top))
    total = nonzero(xp, xp.sum(part, axis=r.axis, keepdims=True))
    return ops.finish(r.finish(select(xp, keep, part / total)))


def _near(xp: Any, z: Array, keep: Array, axis: tuple[int, ...]) -> Array:
    """The logits, minus their maximum where one is so large that its exponent can't be whole."""
    far = _FAR.get(_array.dtype_name(z), _FAR["float64"]) / _LOG2_E
    size = safe_max(xp, xp.abs(z), keep, axis)
    top = safe_max(xp, z, keep, axis)
    shift = xp.where((size > far) & (size != xp.inf), top, xp.zeros_like(top))
    z = select(xp, keep, z - shift)
    return xp.where(z < -far, xp.full_like(z, -far), z)
