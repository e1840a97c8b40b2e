"""Views that belong together: twins of two batches, and examples of one class."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax.losses.contrastive import _views
from anymax.losses.contrastive._views import Views, others
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes._operands import spread

_BLOCK = 1 << 22  # comparisons held at once


class Paired(NamedTuple):
    """Two batches of views as one of 2B rows, each with its twin."""

    xp: Any
    both: Array  # (..., 2B, D)
    own: Array  # products with the twin (..., 2B), 0 where masked
    where: Array | None
    keep: Array | None  # whether the twin takes part
    rows: tuple

    def negatives(self, temperature: Any) -> Array:
        """Logsumexp over all views but a view itself and its twin."""
        b = self.rows[-1] // 2
        example = self.xp.concat([_array.arange(self.xp, b, self.both)] * 2)
        lse, _ = others(
            self.both, self.both, self.where, temperature, example, example, groups="different"
        )
        return lse

    def pull(self, sigma: float) -> Array:
        """Weights of the positives: 2 less the softmax of their products, times their number."""
        xp, b = self.xp, self.rows[-1] // 2
        c, keep = self.own[..., :b], None
        count: Any = float(b)
        if self.keep is not None:
            whole = xp.broadcast_to(self.keep, self.rows)
            keep = whole[..., :b] | whole[..., b:]
            c = xp.where(whole[..., :b], c, self.own[..., b:])
            count = xp.sum(xp.astype(keep, c.dtype), axis=-1, keepdims=True)
        w = 2.0 - count * row_softmax(c, keep, axis=(c.ndim - 1,), scale=1.0 / sigma)
        return xp.concat([w, w], axis=-1)


def paired(v: Views, function: str, normalize: bool, where: Array | None) -> Paired:
    """The first two arrays of `v` as views of the same examples."""
    xp, (a, b) = v.xp, v.arrays[:2]
    if normalize:
        a, b = _views.normalized(xp, a), _views.normalized(xp, b)
    lead = _views.batch_of(function, z_a=a, z_b=b)
    n = a.shape[-2]
    a, b = (spread(xp, x, (*lead, *x.shape[-2:])) for x in (a, b))
    both, twins = xp.concat([a, b], axis=-2), xp.concat([b, a], axis=-2)
    rows = (*lead, 2 * n)
    where = _views.mask_of(xp, function, where, (*rows, 2 * n))
    keep = None
    if where is not None:
        places = _array.arange(xp, n, a)
        keep = _views.allowed(xp, where, xp.concat([places + n, places]))
    return Paired(xp, both, _views.dots(xp, both, twins, keep), where, keep, rows)


def supervised(
    v: Views, function: str, target: Array, kind: str, normalize: bool, where: Array | None
) -> tuple[Array, Array, Any]:
    """Losses (..., B) of examples among those of their class, who has any, and the temperature."""
    xp, (f, t) = v.xp, v.arrays
    if not _array.is_integer(target):
        raise TypeError(
            f"{function}: target has dtype {_array.dtype_name(target)}; an integer dtype fits"
        )
    target = xp.asarray(_array.as_index(xp, target))
    if normalize:
        f = _views.normalized(xp, f)
    lead = _views.batch_of(function, features=f, target=target[..., None])
    f = spread(xp, f, (*lead, *f.shape[-2:]))
    rows = (*lead, f.shape[-2])
    where = _views.mask_of(xp, function, where, (*rows, rows[-1]))
    t = _views.heat(v, function, t, rows, where)
    count = counted(xp, target, where, f.dtype)
    some = count > 0
    lse, total = others(f, f, where, t, target, target, diagonal=False)
    n = select(xp, some, count, 1.0)
    if kind == "out":
        own = total / n
    else:
        own, _ = others(f, f, where, t, target, target, groups="same", diagonal=False)
        own = select(xp, some, own) - xp.log(n)
    loss = select(xp, some, select(xp, some, lse) - own)
    return loss, some, t


def counted(xp: Any, group: Array, where: Array | None, dtype: Any) -> Array:
    """How many other live columns are of each row's group, some rows at a time: (..., B)."""
    b = group.shape[-1]
    step = max(1, _BLOCK // max(_array.size(group.shape), 1))
    columns = _array.arange(xp, b, group)
    parts = []
    for i in range(0, max(b, 1), step):
        here = slice(i, min(i + step, b))
        same = group[..., here, None] == group[..., None, :]
        same = same & (columns[here, None] != columns)
        if where is not None:
            same = same & (where if where.shape[-2] == 1 else where[..., here, :])
        parts.append(xp.sum(xp.astype(same, dtype), axis=-1))
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)
