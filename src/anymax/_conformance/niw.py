"""Multivariate gamma functions and the terms of normal-inverse-Wishart oracles."""

from __future__ import annotations

from typing import Any

import numpy as np


def _wide(x: Any) -> np.longdouble:
    import mpmath

    return np.longdouble(mpmath.nstr(x, 25))


def digamma_sum(a: float, d: int) -> np.longdouble:
    """Sum of digamma(a + (1 - j) / 2) for j = 1 .. d."""
    import mpmath

    with mpmath.workdps(30):
        return _wide(mpmath.fsum(mpmath.digamma(mpmath.mpf(a) - j / 2) for j in range(d)))


def log_gamma_sum(a: float, d: int) -> np.longdouble:
    """Sum of log gamma(a + (1 - j) / 2) for j = 1 .. d."""
    import mpmath

    with mpmath.workdps(30):
        return _wide(mpmath.fsum(mpmath.loggamma(mpmath.mpf(a) - j / 2) for j in range(d)))


def expected_kl(mean: Any, var: Any, m0: Any, v0: Any, l0: float, n0: float) -> Any:
    """The expected divergence, term by term."""
    d = mean.shape[-1]
    trace = np.sum(var / v0, axis=-1)
    square = np.sum((mean - m0) ** 2 / v0, axis=-1)
    logs = np.sum(np.log(v0)) - np.sum(np.log(var), axis=-1)
    rest = d / np.longdouble(l0) - digamma_sum(n0 / 2, d) - d * np.log(np.longdouble(2)) - d
    return (n0 * (trace + square) + logs + rest) / 2


def moments(rng: np.random.Generator, *lead: int, d: int) -> tuple[np.ndarray, ...]:
    """Random means, variances, location and scale."""
    shapes = (*lead, d), (*lead, d), (d,), (d,)
    numbers = [rng.normal(size=s) for s in shapes]
    positive = [rng.uniform(0.5, 2.0, size=s) for s in shapes]
    return numbers[0], positive[1], numbers[2], positive[3]
