"""Fenchel-Young losses in plain NumPy, by a search for the best response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anymax._conformance.by_rows import bisected
from anymax._conformance.examples import log_softmax


def tsallis(z: np.ndarray, t: np.ndarray, lost: bool, alpha: Any) -> Any:
    """The cost of one example for :func:`anymax._conformance.examples.by_examples`."""
    if lost:
        return np.inf
    d = alpha - 1
    if d == 0:
        p = np.exp(log_softmax(z))
    else:
        y = d * (z - np.max(z))
        p = _powers(y, 1 / d, 1 / d)
    return _loss(z, t, p, lambda p: _tsallis(p, d))


def norm(z: np.ndarray, t: np.ndarray, lost: bool, alpha: Any) -> Any:
    """The same for the norm of order alpha."""
    if lost:
        return np.inf
    p = _powers(z - np.max(z), 1 / (alpha - 1), alpha / (alpha - 1))
    return _loss(z, t, p, lambda p: np.sum(p**alpha) ** (1 / alpha))


def _powers(y: np.ndarray, power: Any, total: Any) -> np.ndarray:
    """[y - tau]_+ ** power, normalised, with tau where the powers `total` sum to one."""

    def excess(tau: Any) -> Any:
        return np.sum(np.maximum(y - tau, 0) ** total) - 1

    tau: Any
    if total < 1:
        n = np.asarray(float(y.size), y.dtype)
        tau = bisected(excess, np.asarray(-1, y.dtype), -(n ** (-1 / total)))
    else:  # convex: Newton's steps from the left end close to the root
        before: Any = np.inf
        tau = -np.ones((), y.dtype)
        while tau != before and excess(tau) > 0:
            slope = total * np.sum(np.maximum(y - tau, 0) ** (total - 1) * (y > tau))
            before, tau = tau, tau + excess(tau) / slope
    p = np.maximum(y - tau, 0) ** power
    return p / np.sum(p)


def _tsallis(p: np.ndarray, d: Any) -> Any:
    some = p > 0
    logs = np.log(np.where(some, p, 1))
    each = p * (np.expm1(d * logs) / d if d else logs)
    return np.sum(np.where(some, each, 0 if d == 0 else -p / d)) / (1 + d)


def _loss(z: np.ndarray, t: np.ndarray, p: np.ndarray, omega: Callable[..., Any]) -> Any:
    """In the shift at which logits of 1e4 leave digits: targets need not sum to one."""
    top = np.max(z)
    return omega(t) - omega(p) + np.sum((p - t) * (z - top)) + top * (1 - np.sum(t))


def off_kinks(slot: Any, x: np.ndarray) -> np.ndarray:
    """Logits of which none trails the largest by exactly 1, where sparsemax has no derivative."""
    return np.where(x == 2.0, 1.75, x) if slot == 0 else x
