"""Oracle and cases of losses on sampled classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anymax._conformance.examples import reduced
from anymax.testing import Case

_RNG = np.random.default_rng(49)
_X, _W = _RNG.normal(size=(4, 3)), _RNG.normal(size=(7, 3))
_BIAS = _RNG.normal(size=7)
_TARGET = np.asarray([0, 6, 2, 2])
_LISTS = np.asarray([[0, 3], [6, -1], [2, 2], [-1, -1]])
_SAMPLED = np.asarray([2, 5, 0, 3, 5])
_OWN = _RNG.integers(0, 7, size=(4, 3))
_LOG_Q = _RNG.normal(size=4), _RNG.normal(size=5)
_WHERE = np.ones((4, 6), bool)
_WHERE[0, 2] = _WHERE[2, 0] = False
_WHERE[3] = False
_EDGE_X = np.where(np.arange(4)[:, None] == 3, np.nan, _X)
_EDGE_W = np.where(np.arange(7)[:, None] == 1, np.inf, _W)
_EDGE_BIAS = np.where(np.arange(7) == 5, -np.inf, _BIAS)


def sampled_cases(corrected: bool) -> list[Case]:
    """Calls worth testing; some with corrections for the sampling, if the form has them."""
    weight = np.linspace(0.5, 2.0, 7)
    log_q = {"target_log_q": _LOG_Q[0], "sampled_log_q": _LOG_Q[1]} if corrected else {}
    rows = {"reduction": "none"}
    hits = {"remove_accidental_hits": True}
    args = (_X, _W, _TARGET, _SAMPLED)
    edge = (_EDGE_X, _EDGE_W, _TARGET, _SAMPLED)
    learnt = (0, 1, "bias")
    return [
        Case("edges", edge, {"bias": _EDGE_BIAS, "where": _WHERE, **rows}, compiled=True,
             condition=8.0),
        Case("lists", (_X, _W, _LISTS, _SAMPLED), {**hits, **rows}, compiled=True, condition=8.0),
        Case("mean", args, {"bias": _BIAS, **log_q}, wrt=learnt, smooth=True, condition=16.0),
        Case("kept_hits", args, {"remove_accidental_hits": False, **log_q}, condition=16.0),
        Case("own", (_X, _W, _LISTS, _OWN), {"weight": weight, **hits}, smooth=True,
             wrt=(0, 1, "weight"), condition=16.0),
        Case("lost", (_X, _W, np.asarray([5, 0, 1, 2]), _OWN), {"bias": _EDGE_BIAS, **rows},
             wrt=(), condition=16.0),
        Case("no_sample", (_X, _W, _TARGET, _SAMPLED[:0]), {"reduction": "sum"}, condition=16.0),
    ]  # fmt: skip


def by_columns(
    cost: Callable[..., Any], x: np.ndarray, w: np.ndarray, target: np.ndarray,
    sampled: np.ndarray, *, bias: Any, hits: bool, where: Any, weight: Any, reduction: str,
    target_log_q: Any = None, sampled_log_q: Any = None,
) -> np.ndarray:  # fmt: skip
    """A loss from ``cost(t, s, number, lost)`` of the logits of an example's columns.

    t and s are the logits of targets and samples that take part, `number` is how many targets there
    are and `lost` how many of them `where` leaves out.
    """
    target = target.reshape(len(x), -1)
    sampled = np.broadcast_to(sampled, (len(x), sampled.shape[-1]))
    full = (len(x), target.shape[1] + sampled.shape[1])
    part = np.broadcast_to(True if where is None else where, full)
    bias = np.zeros(len(w)) if bias is None else bias
    log_q = [
        np.broadcast_to(0.0 if q is None else q, c.shape) if q is None or c is not target
        else q.reshape(c.shape)
        for q, c in ((target_log_q, target), (sampled_log_q, sampled))
    ]  # fmt: skip
    loss, live = np.zeros(len(x), np.longdouble), np.zeros(len(x), bool)
    weights = np.ones(len(x), np.longdouble)
    for i, ours in enumerate(target):
        columns = np.concatenate([ours, sampled[i]])
        y = (
            np.sum(x[i] * w[columns], axis=-1)
            + bias[columns]
            - np.concatenate([q[i] for q in log_q])
        )
        y = np.where(bias[columns] == -np.inf, -np.inf, np.where(np.isinf(y), np.nan, y))
        true = np.arange(len(columns)) < len(ours)
        there = columns != -1
        hit = np.asarray([not t and c in ours for t, c in zip(true, columns)], bool)
        keep = part[i] & there & ~(hit & hits)
        number = np.sum(true & there)
        live[i] = number > 0 and np.any(keep & (y != -np.inf))
        if live[i]:
            lost = np.sum(true & there & ~part[i])
            loss[i] = cost(y[keep & true], y[keep & ~true], number, lost)
            if weight is not None:
                weights[i] = np.mean(weight[ours[ours != -1]])
    return reduced(loss, reduction, live=live, weight=None if weight is None else weights)


def drawn(rng: np.random.Generator) -> Case:
    """A random call."""
    b, d, v, t, s = rng.integers(1, 6, size=5)
    args = rng.normal(size=(b, d)), rng.normal(size=(v, d))
    lists = rng.integers(0, v, size=(b, t)), rng.integers(0, v, size=s)
    return Case("drawn", (*args, *lists), condition=64.0)
