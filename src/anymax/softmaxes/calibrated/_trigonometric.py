"""Trigonometric polynomials with parameters (..., 2(N+1)): their values, integrals, spectra."""

from __future__ import annotations

import math
from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax.primitives._masked import select
from anymax.softmaxes._operands import Operands, operands


def parameters(
    function: str, theta: Array, scaled: bool = True, **others: Array
) -> tuple[Operands, Any, Any]:
    """Real and imaginary parts, divided by their largest size: the density has no scale."""
    _array.required(function, theta=theta, **others)
    ops = operands(function, theta=theta, **others)
    xp, x = ops.xp, ops.arrays[0]
    if x.ndim == 0 or x.shape[-1] % 2 or x.shape[-1] == 0:
        raise ValueError(
            f"{function}: theta has shape {_array.shape_text(x.shape)}; (..., 2(N+1)) is needed: "
            "real parts, then imaginary parts"
        )
    if scaled:
        x = xp.where(xp.isinf(x), xp.full_like(x, xp.nan), x)
        if 0 not in x.shape:
            size = xp.max(xp.abs(stop_gradient(x)), axis=-1, keepdims=True)
            x = x / select(xp, size > 0, size, 1.0) + 0.0 * size
    half = x.shape[-1] // 2
    return ops, x[..., :half], x[..., half:]


def autocorrelation(xp: Any, x: Array, y: Array) -> tuple[Array, Array]:
    n = x.shape[-1]
    real, imaginary = [], []
    for lag in range(n):
        a, b = x[..., : n - lag], y[..., : n - lag]
        c, d = x[..., lag:], y[..., lag:]
        real.append(xp.sum(a * c + b * d, axis=-1))
        imaginary.append(xp.sum(a * d - b * c, axis=-1))
    return xp.stack(real, axis=-1), xp.stack(imaginary, axis=-1)


def phases(xp: Any, z: Array, n: int) -> Array:
    """pi k z (..., n, m), modulo 2 pi so that it keeps its digits."""
    k = _array.cast(xp, _array.arange(xp, n, z), z.dtype)[:, None]
    turns = k * z[..., None, :]
    return math.pi * (turns - 2.0 * xp.round(stop_gradient(turns) * 0.5))


def bin_phases(xp: Any, like: Array, n: int, num_bins: int) -> Array:
    """The same at the centres of bins, reduced in whole numbers."""
    k = _array.arange(xp, n, like)[:, None]
    j = _array.arange(xp, num_bins, like)[None, :]
    step = (k * (2 * j + (1 - num_bins))) % (2 * num_bins)
    return _array.cast(xp, step, like.dtype) * (math.pi / num_bins)


def squares(xp: Any, x: Array, y: Array, angles: Array) -> Array:
    """Squared modulus of sum_k a_k e^(i angle_k)."""
    cos, sin = xp.cos(angles), xp.sin(angles)
    if angles.ndim > 2:
        x, y = x[..., None, :], y[..., None, :]
    real = xp.matmul(x, cos) - xp.matmul(y, sin)
    imaginary = xp.matmul(x, sin) + xp.matmul(y, cos)
    square = real * real + imaginary * imaginary
    return square[..., 0, :] if angles.ndim > 2 else square


def density(xp: Any, x: Array, y: Array, z: Array) -> Array:
    norm = 2.0 * xp.sum(x * x + y * y, axis=-1, keepdims=True)
    some = norm != 0
    square = squares(xp, x, y, phases(xp, z, x.shape[-1]))
    return select(xp, some, square / select(xp, some, norm, 1.0), 0.5)


def check_points(function: str, z: Array) -> None:
    if z.ndim == 0:
        raise ValueError(f"{function}: the second array has no axis; (..., m) is needed")


def ratios(xp: Any, x: Array, y: Array) -> tuple[Array, Array]:
    """c_l / c_0 for l of at least 1; 0 where all parameters are."""
    real, imaginary = autocorrelation(xp, x, y)
    first = real[..., :1]
    some = first != 0
    first = select(xp, some, first, 1.0)
    return (
        select(xp, some, real[..., 1:] / first),
        select(xp, some, imaginary[..., 1:] / first),
    )


def distribution(xp: Any, u: Array, v: Array, z: Array) -> Array:
    """The distribution function at z, from the ratios of coefficients u + iv."""
    n = u.shape[-1] + 1
    angles = phases(xp, z, n)[..., 1:, :]
    order = _array.cast(xp, _array.arange(xp, n, z), z.dtype)[1:, None]
    ends = 1.0 - 2.0 * (order % 2.0)
    sin, cos = xp.sin(angles) / (math.pi * order), (xp.cos(angles) - ends) / (math.pi * order)
    if angles.ndim > 2:
        u, v = u[..., None, :], v[..., None, :]
    waves = xp.matmul(u, sin) + xp.matmul(v, cos)
    return 0.5 * (z + 1.0) + (waves[..., 0, :] if angles.ndim > 2 else waves)


def shortfall(xp: Any, t: Array, u: Array, real: Array, imaginary: Array) -> tuple[Array, Array]:
    """What is missing from F(t) to u, and its slope: 0 where the density is, up to rounding."""
    slope = density_of_ratios(xp, real, imaginary, t)
    flat = slope < math.sqrt(float(xp.finfo(slope.dtype).eps))
    return u - distribution(xp, real, imaginary, t), -select(xp, ~flat, slope)


def density_of_ratios(xp: Any, u: Array, v: Array, z: Array) -> Array:
    angles = phases(xp, z, u.shape[-1] + 1)[..., 1:, :]
    cos, sin = xp.cos(angles), xp.sin(angles)
    if angles.ndim > 2:
        u, v = u[..., None, :], v[..., None, :]
    waves = xp.matmul(u, cos) - xp.matmul(v, sin)
    return 0.5 + (waves[..., 0, :] if angles.ndim > 2 else waves)


def bins(function: str, theta: Array, num_bins: int) -> tuple[Operands, Array, Array]:
    """Unnormalised weights of the bins, and their sum."""
    if not hasattr(num_bins, "__index__") or isinstance(num_bins, bool) or num_bins < 1:
        raise ValueError(f"{function}: num_bins is {num_bins!r}; a positive integer fits")
    ops, x, y = parameters(function, theta)
    xp = ops.xp
    square = squares(xp, x, y, bin_phases(xp, x, x.shape[-1], num_bins))
    return ops, square, xp.sum(square, axis=-1, keepdims=True)


def blur_gains(xp: Any, p: Array, m: int, num_scales: int) -> Array:
    """(1 - eigenvalue)^2 of each filter at each frequency, (m, num_scales)."""
    j = _array.arange(xp, m, p)
    d = _array.cast(xp, j, p.dtype)[:, None]
    sigma = _array.cast(xp, _array.arange(xp, num_scales, p) + 1, p.dtype)
    width = d / sigma
    bell = xp.exp(-0.5 * width * width) * xp.where(d == 0, xp.ones_like(d), 2.0 * xp.ones_like(d))
    half = _array.cast(xp, (j[:, None] * j[None, :]) % m, p.dtype) * (math.pi / m)
    s = xp.sin(half)
    # 1 - cos = 2 sin^2 of the half angle keeps the digits of slow waves.
    lost = 2.0 * xp.matmul(s * s, bell) / xp.sum(bell, axis=0)
    return lost * lost
