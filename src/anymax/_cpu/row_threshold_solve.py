"""Thresholds of gathered values, the largest of which is 0: active sets and safeguarded Newton."""

from __future__ import annotations

import math

import numpy as np

from anymax._cpu.jit import jit
from anymax._cpu.row_threshold_kinds import BUDGET, ENTMAX, NORMMAX
from anymax._cpu.row_threshold_pieces import log1p
from anymax._cpu.simd import exp, wide

__all__ = ["bound", "exponents", "solve", "step_sigmoid"]

_EPS = 2.0**-52


@jit(cache=False)
def exponents(kind, a):
    """Factor q of the logits, d of the threshold, and power e of the weights: the kernel's table of
    kinds whose weights are powers."""
    if kind == ENTMAX:
        d = a - 1.0
        return 1.0, d, 1.0 / d if d > 0.0 else np.inf
    d = 1.0 - 1.0 / a
    return 1.0 / d, d, 1.0 / (a - 1.0)


# -- powers --------------------------------------------------------------------------------------


@jit(cache=False)
def _linear_sums(v, t):
    wide()
    s, n = 0.0, 0.0
    for j in range(v.size):
        w = 1.0 + (v[j] - t)
        live = w > 0.0
        s += w if live else 0.0
        n += 1.0 if live else 0.0
    return s, n


@jit(cache=False)
def _square_sums(v, t):
    wide()
    s, n = 0.0, 0.0
    for j in range(v.size):
        w = 1.0 + 0.5 * (v[j] - t)
        w = w if w > 0.0 else 0.0
        s += w * w
        n += w
    return s, n


@jit(cache=False)
def _power_sums(v, t, d):
    wide()
    s, n, inverse = 0.0, 0.0, 1.0 / d
    for j in range(v.size):
        y = d * (v[j] - t)
        live = y > -1.0
        y = y if live else 0.0
        p = exp(log1p(y) * inverse)
        p = p if live else 0.0
        s += p
        n += p / (1.0 + y)
    return s, n


@jit(cache=False)
def _exp_sums(v, t):
    wide()
    s = 0.0
    for j in range(v.size):
        s += exp(v[j] - t)
    return s, s


@jit(cache=False)
def _sums(v, t, d):
    """Sum of the weights, and minus its slope in t."""
    if d == 1.0:
        return _linear_sums(v, t)
    if d == 0.5:
        return _square_sums(v, t)
    return _power_sums(v, t, d) if d > 0.0 else _exp_sums(v, t)


@jit(cache=False)
def _solve_powers(v, d, start):
    """Newton's method on the norm of the weights, from the left: for d <= 1 it is convex.

    For d = 1 each step solves exactly for the cells it finds alive, so it ends when none drops out.
    """
    count = math.log(v.size)
    lo, hi = start, max(start, -math.expm1(-d * count) / d if d > 0.0 else count)
    t, last, before = lo, np.inf, -1.0
    for _ in range(200):
        s, n = _sums(v, t, d)
        if d == 1.0:
            if n == before:
                break
            t, before = t + (s - 1.0) / n, n
            continue
        if s >= 1.0:
            lo = t
        else:
            hi = t
        log_s = math.log(s)
        step = math.expm1(d * log_s) / d if d > 0.0 else log_s
        step *= math.exp((1.0 - d) * log_s) / n
        new = t + step
        if not lo <= new <= hi or (d > 1.0 and abs(step) > 0.5 * last):
            new = 0.5 * (lo + hi)
        last = abs(new - t)
        t = new
        close = _EPS * (1.0 + t)
        if last <= close and (d <= 1.0 or hi - lo <= close or abs(s - 1.0) <= 1e-9):
            break  # where slopes are infinite short steps say little
    return t


@jit(cache=False)
def _norm_sum(v, t, d, e):
    wide()
    s = 0.0
    for j in range(v.size):
        y = d * (v[j] - t)
        live = y > -1.0
        p = exp(log1p(y if live else 0.0) * e)
        s += p if live else 0.0
    return s


# -- bounded weights -----------------------------------------------------------------------------


@jit(cache=False)
def _clipped_sums(v, t):
    wide()
    rest, ones, slope = 0.0, 0.0, 0.0
    for j in range(v.size):
        u = v[j] - t
        full, live = u >= 1.0, u > 0.0
        ones += 1.0 if full else 0.0
        rest += u if live and not full else 0.0
        slope += 1.0 if live and not full else 0.0
    return rest, ones, slope


@jit(cache=False)
def _sigmoid_sums(v, t):
    wide()
    rest, ones, slope = 0.0, 0.0, 0.0
    for j in range(v.size):
        u = v[j] - t
        e = exp(-abs(u))
        p = e / (1.0 + e)
        high = u >= 0.0
        ones += 1.0 if high else 0.0
        rest += -p if high else p
        slope += p * (1.0 - p)
    return rest, ones, slope


@jit(cache=False)
def _bounded_sums(v, t, kind):
    return _clipped_sums(v, t) if kind == BUDGET else _sigmoid_sums(v, t)


@jit(cache=False)
def step_sigmoid(rest, ones, slope, goal, lo, hi, t, last):
    """The next threshold of a decreasing sum of sigmoids, in [lo, hi].

    A sum below its goal is followed by its logarithm, in which tails are straight.
    """
    value = (ones - goal) + rest
    p = ones + rest
    step = value / slope
    if value < 0.0 and 0.0 < p < 0.9 * goal:
        step = math.log(p / goal) * p / slope
    new = t + step
    if not lo <= new <= hi or not abs(step) <= last:
        new = 0.5 * (lo + hi)
        return new, np.inf
    return new, 0.75 * max(abs(step), 1e-300)


@jit(cache=False)
def _solve_bounded(v, kind, goal, start):
    """Threshold in two parts: what is left after the first is found on the values less the first,
    so that it keeps its digits however large the logits are."""
    low, n = 0.0, float(v.size)
    for j in range(v.size):
        low = min(low, v[j])
    shift = goal / n if kind == BUDGET else math.log(goal) - math.log(n - goal)
    lo, hi = max(low - shift, start), max(-shift, start)
    t, last = lo if kind == BUDGET else hi, np.inf
    for _ in range(200):
        rest, ones, slope = _bounded_sums(v, t, kind)
        value = (ones - goal) + rest
        if value == 0.0:
            break
        if value > 0.0:
            lo = t
        else:
            hi = t
        before = t
        if kind == BUDGET:
            t = t + value / slope
            if not lo <= t <= hi or not abs(t - before) <= last:
                t, last = 0.5 * (lo + hi), np.inf
            else:
                last = 0.75 * abs(t - before)
        else:
            t, last = step_sigmoid(rest, ones, slope, goal, lo, hi, t, last)
        if abs(t - before) <= 1e-10 + 4.0 * _EPS * abs(t):
            break
    for j in range(v.size):
        v[j] -= t
    rest, ones, slope = _bounded_sums(v, 0.0, kind)
    return t, ((ones - goal) + rest) / slope if slope > 0.0 else 0.0


@jit(cache=False)
def bound(v, kind, a):
    """A threshold that the row's own is not below, from some of its cells."""
    if kind <= NORMMAX:
        t = _solve_powers(v, exponents(kind, a)[1], 0.0)
        return t - 1e-12 * (1.0 + t)
    if kind == BUDGET and 0.0 < a < v.size:
        t = _solve_bounded(v, kind, a, -np.inf)[0]
        return t - 1e-9 * (1.0 + abs(t))
    return -np.inf


@jit(cache=False)
def solve(v, kind, a, n, start):
    """Threshold of the values as two numbers to be subtracted in turn, and a factor of weights.

    Of n cells that take part `v` has those above the threshold `start` at least.  Thresholds of
    -inf and inf stand for weights of 1 and 0.
    """
    if kind <= NORMMAX:
        _, d, e = exponents(kind, a)
        t = _solve_powers(v, d, max(start, 0.0))
        return t, 0.0, 1.0 if kind == ENTMAX else 1.0 / _norm_sum(v, t, d, e)
    if a <= 0.0:
        return np.inf, 0.0, 1.0
    if a >= n:
        return -np.inf, 0.0, 1.0
    t, r = _solve_bounded(v, kind, a, start)
    return t, r, 1.0
