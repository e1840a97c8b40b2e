"""Estimators of a divergence from one sample's log-ratio."""

from __future__ import annotations

from typing import Any

from anymax._array import Array
from anymax.losses.policy._tokens import check_bound, clipped
from anymax.primitives._masked import select

KINDS = ("k1", "k2", "k3", "abs")


def estimate(function: str, xp: Any, d: Array, kind: str, clip: Any) -> Array:
    """The estimator `kind` of KL(p | r) at log-ratios ``d = log p - log r``."""
    if kind not in KINDS:
        raise ValueError(f"{function}: kind is {kind!r}; one of {', '.join(map(repr, KINDS))} fits")
    if clip is not None and kind != "k3":
        raise ValueError(f"{function}: clip is given, but kind is {kind!r}; only 'k3' is clipped")
    if kind == "k1":
        return d
    if kind == "k2":
        return 0.5 * d * d
    if kind == "abs":
        return xp.abs(d)
    return _k3(function, xp, d, clip)


def _k3(function: str, xp: Any, d: Array, clip: Any) -> Array:
    if clip is not None:
        if not isinstance(clip, (tuple, list)) or len(clip) != 2:
            raise TypeError(f"{function}: clip is {clip!r}; a pair of numbers or None fits")
        bound, most = (check_bound(function, "clip", c) for c in clip)
        d = clipped(xp, d, -bound, bound)
    finite = d != -xp.inf  # exp(inf) - inf would be NaN
    d = select(xp, finite, d)
    y = select(xp, finite, xp.expm1(-d) + d, xp.inf)
    return y if clip is None else clipped(xp, y, -most, most)
