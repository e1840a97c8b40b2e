"""Cross entropy of logits whose classes lie in several arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.losses._reduction import check_reduction, reduced
from anymax.losses._targets import check_labels, check_smoothing
from anymax.primitives._masked import kept, nonzero, select
from anymax.softmaxes._operands import beside_tape

_NAME = "vocab_parallel_cross_entropy"


@form(
    shapes="logit_shards: ... V, target: ... -> ",
    papers=("1909.08053",),
    cost="O(n)",
)
def vocab_parallel_cross_entropy(
    logit_shards: Sequence[Array],
    target: Array,
    /,
    *,
    where: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    smoothing: str = "uniform",
    reduction: str = "mean",
) -> Array:
    r"""Cross entropy over the classes of several arrays, as if they were joined.

    .. math:: \ell = \log\sum_r\sum_{v \in r} e^{x_v - m} - (x_y - m), \qquad
        m = \max_r \max_{v \in r} x_v

    Parameters
    ----------
    logit_shards : sequence of arrays (..., V_r)
        Logits, each array a range of the classes, in their order.
    target : integer array (...)
        Class indices in all V classes.
    where : boolean array, broadcastable to (..., V)
        True where a class takes part.
    ignore_index : int
        Examples with this label are left out.
    label_smoothing : float
        The share :math:`\epsilon` of the target that goes to other classes, in [0, 1].
    smoothing : {"uniform", "others"}
        Spread it evenly over all classes (torch), or over all but the target (Megatron-LM).
    reduction : {"mean", "sum", "none"}
        How the examples' losses become the result (Megatron-LM: "none").

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        Arrays that do not fit one another.
    IndexError
        A target that no array owns.  Where values can't be looked at, its loss is NaN.

    Notes
    -----
    The maximum, the sum of exponentials and the target's logit are each reduced over the arrays:
    three numbers an example are exchanged rather than all logits.  Smoothing sums the logits of all
    arrays, too; Megatron-LM takes each rank's own mean and number of classes for it, so that its
    ranks return different losses.  Classes that `where` removes take no part in the smoothing.  A
    target on a class that takes no part costs +inf.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> shards = np.log(np.asarray([[0.5, 0.125]])), np.log(np.asarray([[0.25, 0.125]]))
    >>> round(float(am.vocab_parallel_cross_entropy(shards, np.asarray([2]))), 6)
    1.386294

    References
    ----------
    .. [1] M. Shoeybi et al., "Megatron-LM: training multi-billion parameter language models using
       model parallelism", 2019, section 3. arXiv:1909.08053.
    """
    check_reduction(_NAME, reduction)
    share = check_smoothing(_NAME, label_smoothing)
    if smoothing not in ("uniform", "others"):
        raise ValueError(f"{_NAME}: smoothing is {smoothing!r}; one of 'uniform', 'others' fits")
    case = _prepare(logit_shards, target, where, ignore_index)
    xp = case.xp
    top = _top(case)
    shift = xp.where(top == xp.inf, xp.full_like(top, xp.nan), top)
    parts = [_part(case, shard, shift, share > 0) for shard in case.shards]
    total, at_target, found, missing, flat, count, flat_missing = (
        sum(column[1:], column[0]) for column in zip(*parts)
    )
    log_total = xp.log(nonzero(xp, total))
    loss = log_total - at_target
    missing = missing != 0
    if share:
        mean = select(xp, count != 0, flat / nonzero(xp, count))
        rest = log_total - mean  # of all classes; less the target's own part for "others"
        if smoothing == "others":
            share = share * count / xp.where(count > 1, count - 1.0, xp.ones_like(count))
        loss = (1.0 - share) * loss + share * rest
        missing = missing | (flat_missing != 0)
    loss = loss + select(xp, missing, xp.full_like(loss, xp.inf))  # a row of NaN stays NaN
    loss = xp.where(found != 0, loss, xp.full_like(loss, xp.nan))
    live = case.valid & (total != 0)
    y = reduced(xp, loss, reduction, live=live)
    return _array.cast(xp, y, case.dtype)


class _Shard(NamedTuple):
    """Logits (..., V_r) of the classes from `start` on, and which of them may take part."""

    logits: Array
    start: int
    allowed: Array


class _Case(NamedTuple):
    xp: Any
    shards: list[_Shard]
    target: Array
    valid: Array
    dtype: Any


def _prepare(logit_shards, target, where, ignore_index) -> _Case:
    if not isinstance(logit_shards, (tuple, list)) or not logit_shards:
        raise TypeError(
            f"{_NAME}: logit_shards is a {type(logit_shards).__name__}; a tuple or list of at least"
            " one array fits"
        )
    named = {f"logit_shards[{i}]": x for i, x in enumerate(logit_shards)}
    _array.required(_NAME, **named, target=target)
    xp = _array.namespace(_NAME, **named, target=target, where=where)
    rows = tuple(target.shape)
    for name, x in named.items():
        if tuple(x.shape[:-1]) != rows or not x.ndim:
            raise ValueError(
                f"{_NAME}: {name} has shape {_array.shape_text(x.shape)} and target "
                f"{_array.shape_text(rows)}; logits (..., V_r) fit targets (...)"
            )
    if not _array.is_integer(target):
        raise TypeError(f"{_NAME}: target has dtype {_array.dtype_name(target)}; integers fit")
    shards = _array.promote(xp, _NAME, **named)
    dtype = shards[0].dtype
    sizes = [x.shape[-1] for x in shards]
    _array.check_mask(_NAME, "where", where, (*rows, sum(sizes)), "the logits (..., V)")
    target = beside_tape(xp, _array.as_index(xp, target))
    valid = target != ignore_index
    if where is not None and where.ndim:  # the label of an example that is dropped may be anything
        valid = valid & xp.any(where, axis=-1)
    check_labels(xp, _NAME, target, valid, sum(sizes), "ignore_index")
    found, start = [], 0
    for x, size in zip(shards, sizes):
        x = beside_tape(xp, _array.widen(xp, x))
        part = where
        if where is not None and where.ndim and where.shape[-1] != 1:
            part = where[..., start : start + size]
        allowed = valid[..., None]
        allowed = allowed if part is None else allowed & part
        allowed = xp.broadcast_to(allowed, tuple(x.shape))
        if size or len(shards) == 1:
            found.append(_Shard(select(xp, allowed, x), start, allowed))
        start += size
    return _Case(xp, found, xp.where(valid, target, xp.zeros_like(target)), valid, dtype)


def _top(case: _Case) -> Array:
    """The largest logit of each row (...), over all shards; 0 for an empty row."""
    xp = case.xp
    top = None
    for x, _, allowed in case.shards:
        low = select(xp, kept(xp, x, allowed), stop_gradient(x), -xp.inf)
        here = xp.sum(low, axis=-1) if 0 in x.shape else xp.max(low, axis=-1)
        top = here if top is None else xp.maximum(top, here)
    return select(xp, top != -xp.inf, top)


def _part(case: _Case, shard: _Shard, shift: Array, smooth: bool) -> tuple[Array, ...]:
    """What a shard adds to each row's sums.

    Exponentials; the target's logit, whether it is here, and here without taking part; and for the
    smoothing the logits, number and -inf of all classes allowed.
    """
    xp = case.xp
    x, start, allowed = shard
    keep = kept(xp, x, allowed)
    z = select(xp, keep, select(xp, keep, x) - shift[..., None])
    total = xp.sum(select(xp, keep, xp.exp(z)), axis=-1)
    index = _array.arange(xp, x.shape[-1], case.target, dtype=case.target.dtype) + start
    hot = case.target[..., None] == index
    at_target = xp.sum(select(xp, hot & keep, z), axis=-1)

    def count(mask: Array) -> Array:
        return xp.sum(xp.astype(mask, z.dtype), axis=-1)

    found, missing = count(hot), count(hot & ~keep)
    if not smooth:
        return total, at_target, found, missing, found, found, found
    return (
        total,
        at_target,
        found,
        missing,
        xp.sum(z, axis=-1),
        count(allowed),
        count(allowed & ~keep),
    )
