"""Indices of positives, and the greedy choice of hard negatives, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymax import _array
from anymax._array import Array

_BLOCK = 1 << 24  # products held at once


def places(
    xp: Any, function: str, positive: Array, n: int, m: int, *, missing: bool = True
) -> tuple[Array, Array]:
    """Positives as indices, 0 for missing ones, and which are there."""
    if not _array.is_integer(positive) or tuple(positive.shape) != (n,):
        raise ValueError(
            f"{function}: positive has dtype {_array.dtype_name(positive)} and shape "
            f"{_array.shape_text(positive.shape)}; integers ({n},), one a query, fit"
        )
    positive = xp.asarray(_array.as_index(xp, positive))
    valid = positive != -1 if missing else xp.ones_like(positive) == 1
    wrong = (valid & (positive < 0)) | (positive >= m)
    if n and _array.values_known(positive):
        found = xp.any(wrong)
        if _array.values_known(found) and bool(found):
            raise IndexError(
                f"{function}: positive holds an index outside the {m} rows that there are; "
                f"0 to {m - 1}{' and -1 for none' if missing else ''} fit"
            )
    return xp.where(valid, positive, xp.zeros_like(positive)), valid


def rows_at(xp: Any, table: Array, index: Array) -> Array:
    """Rows of a matrix; by comparison where there is no take with a lazy index."""
    if _array.library(index) != "dask":
        return xp.take(table, index, axis=0)
    hot = index[:, None] == _array.arange(xp, table.shape[0], index, dtype=index.dtype)
    return xp.sum(xp.where(hot[..., None], table, xp.zeros_like(table)), axis=1)


def host(xp: Any, x: Array) -> np.ndarray:
    """A NumPy copy of an array whose values are known, floating ones in float64."""
    x = getattr(x, "data", x) if _array.library(x) == "tape" else x
    if _array.is_half(x):
        x = xp.astype(x, xp.float32)
    if _array.library(x) == "torch":
        x = x.detach().numpy()
    y = np.from_dlpack(x) if _array.library(x) == "strict" else np.asarray(x)
    return y.astype(np.float64) if y.dtype.kind == "f" else y


def clusters(
    query: np.ndarray,
    candidates: np.ndarray,
    positive: np.ndarray,
    free: list[bool],
    k: int,
    pool: int,
    stop: int,
    labelled: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Anchors and their hard negatives; see `self_aware_hard_negatives`."""
    owners: dict[int, list[int]] = {}
    for i, c in enumerate(positive.tolist()):
        owners.setdefault(c, []).append(i)
    anchors, chosen = [], []
    for q, ranked in _rankings(query, candidates, pool):
        if not free[q]:
            continue
        met = _owners(query, q, ranked, int(positive[q]), owners, free, stop)
        if not met:
            continue
        if not labelled:
            met.sort(key=lambda o: float(query[o] @ query[q]))
        met = met[:k]
        for o in (q, *met):
            free[o] = False
        anchors.append(q)
        chosen.append(met + [-1] * (k - len(met)))
    return np.asarray(anchors, np.int64), np.asarray(chosen, np.int64).reshape(-1, k)


def _rankings(query: np.ndarray, candidates: np.ndarray, pool: int):
    """Each query with the candidates that it is most like, best first."""
    step = max(1, _BLOCK // max(candidates.shape[0], 1))
    for start in range(0, query.shape[0], step):
        products = query[start : start + step] @ candidates.T
        order = np.argsort(-products, axis=-1, kind="stable")[:, :pool]
        yield from enumerate(order.tolist(), start)


def _owners(
    query: np.ndarray,
    q: int,
    ranked: list[int],
    own: int,
    owners: dict,
    free: list[bool],
    stop: int,
) -> list[int]:
    """The free owner of each candidate that is most like the query, in the candidates' order."""
    met: list[int] = []
    for c in ranked:
        able = [o for o in owners.get(c, ()) if free[o] and o != q] if c != own else []
        if able:
            met.append(max(able, key=lambda o: float(query[o] @ query[q])))
        if len(met) == stop:
            break
    return met
