"""Multivariate gamma functions of numbers: constants of normal-inverse-Wishart divergences."""

from __future__ import annotations

import math


def digamma(x: float) -> float:
    """Derivative of log gamma at x > 0: recurrence up to 16, then the asymptotic series."""
    total = 0.0
    while x < 16.0:
        total -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    tail = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132)))))
    return total + math.log(x) - 0.5 / x - tail


def multivariate_digamma(a: float, d: int) -> float:
    """Sum of digamma(a + (1 - j) / 2) for j = 1 .. d, in constant time.

    Every other term is one apart, and the sum of digamma(c), ..., digamma(c + m - 1) is the change
    of (x - 1) digamma(x), less m.
    """
    total = 0.0
    for first in (0, 1):
        m = (d - first + 1) // 2
        if m > 0:
            c = a - 0.5 * first - (m - 1)
            total += (c + m - 1.0) * digamma(c + m) - (c - 1.0) * digamma(c) - m
    return total


def log_multivariate_gamma(a: float, d: int) -> float:
    """Logarithm of the multivariate gamma function, less d (d - 1) / 4 log pi."""
    total = 0.0
    for j in range(d):
        total += math.lgamma(a - 0.5 * j)
    return total
