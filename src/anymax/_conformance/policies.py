"""Sequences of tokens for the cases of policy losses, and their aggregation in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(60)
LOGP = -np.abs(_RNG.normal(size=(5, 4)))
OLD = LOGP + 0.5 * _RNG.normal(size=(5, 4))
ADVANTAGE = np.asarray([1.5, -0.75, 2.0, 1.0, -1.25])
WHERE = np.asarray(
    [
        [True, True, True, False],  # padding
        [True, False, True, True],
        [False, False, False, False],  # nothing takes part
        [True, True, True, True],
        [False, False, True, False],
    ]
)


def edges() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probabilities, old ones and advantages per token, with NaN and infinities to hide.

    A token of no advantage whose ratio is infinite, and one of good advantage whose ratio is huge.
    """
    logp, old = LOGP.copy(), OLD.copy()
    logp[0, 3], old[1, 1] = np.nan, -np.inf
    logp[2] = np.nan
    advantage = np.tile(ADVANTAGE[:, None], (1, 4))
    advantage[2] = advantage[0, 3] = np.inf
    advantage[3, 0], old[3, 0] = 0.0, -np.inf
    old[3, 1] = -96.0
    logp[4, 2] = old[4, 2]
    return logp, old, advantage


def per_token(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """An array with one number a sequence, for each of its tokens."""
    return np.broadcast_to(x[..., None] if x.ndim == like.ndim - 1 else x, like.shape)


def live(where: Any, like: np.ndarray) -> np.ndarray:
    return np.broadcast_to(True if where is None else where, like.shape)


def aggregated(
    loss: np.ndarray,
    where: Any = None,
    reduction: str = "mean",
    length: float | None = None,
    empty: str = "drop",
) -> Any:
    """Losses of tokens as one number, by loops over sequences."""
    keep = live(where, loss)
    loss = np.where(keep, loss, 0)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return np.sum(loss)
    if reduction == "mean":
        return np.sum(loss) / max(np.sum(keep), 1)
    width = loss.shape[-1]
    total, count = np.longdouble(0), 0
    for place in np.ndindex(loss.shape[:-1]):
        row, part = loss[place], keep[place]
        if not part.any():
            count += empty == "keep"
            continue
        y = np.sum(row)
        if reduction == "seq-mean-token-mean":
            y = y / np.sum(part)
        elif reduction == "seq-mean-token-sum-norm":
            y = y / (width if length is None else length)
        total, count = total + y, count + 1
    return total / max(count, 1)


def sequence_mean(x: np.ndarray, where: Any) -> np.ndarray:
    """Mean of each sequence's tokens (..., 1), 0 where there are none."""
    keep = live(where, x)
    count = np.maximum(np.sum(keep, axis=-1, keepdims=True), 1)
    return np.sum(np.where(keep, x, 0), axis=-1, keepdims=True) / count


def drawn(rng: np.random.Generator, names: int = 3, **options: Any) -> Case:
    """A random call with `names` arrays of tokens."""
    shape = tuple(rng.integers(1, 5, size=2))
    args = tuple(rng.normal(size=shape) for _ in range(names))
    where = rng.uniform(size=shape) < 0.7
    reductions = ("mean", "sum", "none", "seq-mean-token-sum", "seq-mean-token-mean")
    return Case(
        "random", args, {"where": where, "reduction": reductions[rng.integers(5)], **options},
        condition=1e4,
    )  # fmt: skip
