"""Weight functions s(x) for the loops of row_weights: what a row is scaled by, s, log s, ds/dx.

Each is a few lines on one number. `c` holds the constants of a row, made by an anchor from the
largest cell, the smallest and the number of cells taking part; scaled weights are at most about 1.
A rate gives the derivative of a weight, from the normalised weight and what weights are multiplied
by to be that; from 1 and 1 it gives that of the logarithm.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from anymax._cpu.jit import jit
from anymax._cpu.simd import exp, rare
from anymax._cpu.simd_log import log

_number = jit(cache=False, reassoc=False, forceinline=True)  # or its loop stays scalar


@jit(cache=False)
def _pack(x, a, b=0.0, c=0.0, d=0.0, e=0.0, f=0.0, g=0.0, h=0.0, i=0.0):
    """Constants in the precision of a row."""
    return (
        x.dtype.type(a), x.dtype.type(b), x.dtype.type(c), x.dtype.type(d), x.dtype.type(e),
        x.dtype.type(f), x.dtype.type(g), x.dtype.type(h), x.dtype.type(i),
    )  # fmt: skip


@jit(cache=False)
def _tiny(x):
    return 1.1754943508222875e-38 if x.itemsize == 4 else 2.2250738585072014e-308


# -- e^x ---------------------------------------------------------------------------------------


@jit(cache=False)
def exp_anchor(x, high, low, n, v):
    rare()
    return _pack(x, high if high != -np.inf else 0.0)


@_number
def exp_weigh(x, c):
    return exp(x - c[0])


@_number
def exp_log(x, c):
    return x - c[0]


@_number
def exp_rate(x, w, c, per):
    return w


# -- e^x sigmoid(x): with E = e^(x - m), E^2 / (E + e^-m) for m >= 0, E^2 / (1 + E e^m) below --


@jit(cache=False)
def sigsoft_anchor(x, high, low, n, v):
    rare()
    m = high if high != -np.inf else 0.0
    tail = max(math.exp(-abs(m)), _tiny(x))
    return _pack(x, m, 1.0 if m >= 0.0 else tail, tail if m >= 0.0 else 1.0, min(m, 0.0))


@_number
def sigsoft_weigh(x, c):
    e = exp(x - c[0])
    return e * (e / (e * c[1] + c[2]))


@_number
def sigsoft_log(x, c):
    zero = type(x)(0)
    below = x if x < zero else zero
    return ((x - c[0]) + (below - c[3])) - log(type(x)(1) + exp(-abs(x)))


@_number
def sigsoft_rate(x, w, c, per):
    one = type(x)(1)
    return w + w / (one + exp(x))


# -- n^(s x) e^(b x) ---------------------------------------------------------------------------


@jit(cache=False)
def scalable_anchor(x, high, low, n, v):
    rare()
    if n == 0.0:
        return _pack(x, 0.0)
    f = v[0] * math.log(n) + v[1]
    return _pack(x, high if f >= 0.0 else low, f)


@_number
def scalable_log(x, c):
    return (x - c[0]) * c[1]


@_number
def scalable_weigh(x, c):
    return exp((x - c[0]) * c[1])


@_number
def scalable_rate(x, w, c, per):
    return w * c[1]


# -- x and x^a ---------------------------------------------------------------------------------


@jit(cache=False)
def power_anchor(x, high, low, n, v):
    rare()
    return _pack(x, 1.0 / max(high, _tiny(x)) if high > 0.0 else 1.0, v[0])


@_number
def linear_weigh(x, c):
    return x * c[0] if x >= type(x)(0) else type(x)(np.nan)


@_number
def linear_rate(x, w, c, per):
    return c[0] * per


@_number
def power_log(x, c):
    return log(x * c[0]) * c[1]


@_number
def power_weigh(x, c):
    return exp(log(x * c[0]) * c[1])


@_number
def power_rate(x, w, c, per):
    zero = type(x)(0)
    return w * c[1] / x if x != zero else zero


# -- x^2 + eps ---------------------------------------------------------------------------------


@jit(cache=False)
def spherical_anchor(x, high, low, n, v):
    rare()
    if high == 0.0 and v[0] == 0.0:
        return _pack(x, 0.0, 1.0)  # zeros alone: every cell has the weight 1
    root = math.sqrt(v[0])
    m = max(max(high, root), _tiny(x)) if high == high else high
    return _pack(x, 1.0 / m, root / m, v[0])


@_number
def spherical_weigh(x, c):
    u = x * c[0]
    return u * u + c[1] * c[1]


@_number
def spherical_log(x, c):
    return _log_hypot(x * c[0], c[1])


def _lift(x):
    """Below what a square may underflow, a factor that helps, and twice its logarithm."""
    return x, x, x


@overload(_lift, jit_options={"forceinline": True})
def _lift_by_width(x):
    if x == types.float32:
        few = np.float32(2.0**-40), np.float32(2.0**100), np.float32(200.0 * math.log(2.0))
        return lambda x: few
    few64 = 2.0**-400, 2.0**900, 1800.0 * math.log(2.0)
    return lambda x: few64


@_number
def _log_hypot(u, e):
    """log(u^2 + e^2) for e >= 0 without underflow."""
    few, factor, twice = _lift(u)
    tiny = (abs(u) < few) & (e < few)
    f = factor if tiny else type(u)(1)
    u, e = u * f, e * f
    return log(u * u + e * e) - (twice if tiny else type(u)(0))


@_number
def spherical_rate(x, w, c, per):
    zero, two = type(x)(0), type(x)(2)
    return two * w / (x + c[2] / x) if x != zero else zero


# -- Taylor polynomials of e^x as products of (x - a)^2 + b^2; v holds the a and b -------------


@jit(cache=False)
def taylor_anchor(x, high, low, n, v):
    rare()
    k = 1.0 / max(high, 1.0) if high == high else high
    if v.size == 2:
        return _pack(x, k, v[0], v[1])
    if v.size == 4:  # a third factor that is 1
        return _pack(x, k, v[0], v[1], v[2], v[3], 0.0, np.inf, 0.0, 1.0)
    return _pack(x, k, v[0], v[1], v[2], v[3], v[4], v[5], k, v[5] * k)


@_number
def _square(x, a, b, k):
    u, e = (x - a) * k, b * k
    return u * u + e * e


@_number
def _over(x, b):
    zero, two = type(x)(0), type(x)(2)
    return two / (x + b * b / x) if x != zero else zero


@_number
def taylor2_weigh(x, c):
    return _square(x, c[1], c[2], c[0])


@_number
def taylor2_log(x, c):
    return _log_hypot((x - c[1]) * c[0], c[2] * c[0])


@_number
def taylor2_rate(x, w, c, per):
    return w * _over(x - c[1], c[2])


@_number
def taylor_weigh(x, c):
    u = (x - c[5]) * c[7]
    last = u * u + c[8] * c[8]
    return _square(x, c[1], c[2], c[0]) * _square(x, c[3], c[4], c[0]) * last


@_number
def taylor_log(x, c):
    first = taylor2_log(x, c) + _log_hypot((x - c[3]) * c[0], c[4] * c[0])
    return first + _log_hypot((x - c[5]) * c[7], c[8])


@_number
def taylor_rate(x, w, c, per):
    return w * (_over(x - c[1], c[2]) + _over(x - c[3], c[4]) + _over(x - c[5], c[6]))


# -- 1 + x for x >= 0, 1 / (1 - x) below -------------------------------------------------------


@jit(cache=False)
def stable_anchor(x, high, low, n, v):
    rare()
    m = high if high != -np.inf else 0.0
    size = math.log1p(abs(m))
    return _pack(x, 1.0 / (1.0 + m) if m >= 0.0 else 1.0 - m, size if m >= 0.0 else -size)


@_number
def stable_weigh(x, c):
    zero, one = type(x)(0), type(x)(1)
    a = one + abs(x)
    return (a if x >= zero else one / a) * c[0]


@_number
def stable_log(x, c):
    z = log(type(x)(1) + abs(x))
    return (z if x >= type(x)(0) else -z) - c[1]


@_number
def stable_rate(x, w, c, per):
    return w / (type(x)(1) + abs(x))
