r"""Sums over all pairs of two sets of vectors, whose matrix of logits is never needed whole.

Contract: ``f(a, b, where, row_group, column_group, scale=, groups=, diagonal=)`` gives
``(lse, total)``, both (..., M), with a (..., M, D), b (..., N, D) and logits ``z = scale * a b^T``.

* lse is the logsumexp over the columns that take part: those that `where` (boolean, broadcastable
  to (..., M, N)) allows; with ``diagonal=False`` not column i of row i; and, by the integers
  row_group (..., M) and column_group (..., N), with ``groups="same"`` those of the row's own group,
  with "different" those of other groups, with "any" all of them.
* total is the sum of the logits of the columns that take part *and* are of the row's own group, for
  ``groups="any"`` with groups given; else 0.
* A row without any column has lse -inf.  A row of a or b that holds NaN or inf counts as zeros in
  the products, and makes NaN, with zero gradient, of exactly the rows that it takes part in.

``pairwise_softplus(a, b, where, scale=, diagonal=)`` gives :math:`\sum_j \log(1+e^{z_{ij}})` over
the columns that take part, in the same way.
"""

from __future__ import annotations

from typing import Any

from anymax._array import Array, arange
from anymax._dispatch import Facts, Kernel, Primitive
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_logsumexp


def _reference(xp, a, b, where, row_group, column_group, *, scale, groups, diagonal):
    z, live, poisoned = _logits(xp, a, b, where, scale, diagonal)
    same = _same(row_group, column_group)
    part = _part(live, same, groups)
    lse = row_logsumexp.reference(xp, z, part, axis=(z.ndim - 1,), scale=1.0)
    lse = _spoiled(xp, lse, part & poisoned)
    if same is None or groups != "any":
        return lse, xp.zeros_like(lse)
    own = live & same
    return lse, _spoiled(xp, xp.sum(select(xp, own, z), axis=-1), own & poisoned)


def _clean(xp: Any, a: Array) -> tuple[Array, Array]:
    """`a` with rows that hold NaN or inf set to zero, and which rows those are (..., n, 1)."""
    bad = ~xp.all(xp.isfinite(a), axis=-1, keepdims=True)
    return xp.where(bad, xp.zeros_like(a), a), bad


def _logits(xp, a, b, where, scale, diagonal) -> tuple[Array, Array, Array]:
    """All logits (..., M, N), which may take part, and which come of bad numbers."""
    a, a_bad = _clean(xp, a)
    b, b_bad = _clean(xp, b)
    z = xp.matmul(a, xp.matrix_transpose(b)) * scale
    live = xp.ones_like(z, dtype=xp.bool)
    if where is not None:
        live = live & where
    if not diagonal:
        rows, columns = (arange(xp, n, z) for n in z.shape[-2:])
        live = live & (rows[:, None] != columns[None, :])
    return z, live, a_bad | xp.matrix_transpose(b_bad)


def _same(row_group: Array | None, column_group: Array | None) -> Array | None:
    if row_group is None or column_group is None:
        return None
    return row_group[..., :, None] == column_group[..., None, :]


def _part(live: Array, same: Array | None, groups: str) -> Array:
    """Which columns enter the logsumexp."""
    if same is None or groups == "any":
        return live
    return live & (same if groups == "same" else ~same)


def _spoiled(xp: Any, y: Array, hit: Array) -> Array:
    return xp.where(xp.any(hit, axis=-1), xp.full_like(y, xp.nan), y)


def _slopes(xp, operands, outputs, *, scale, groups, diagonal) -> tuple[Array, Array | None]:
    """d lse / dz and d total / dz (..., M, N); rows whose result is NaN have none."""
    a, b, where, row_group, column_group = operands
    z, live, _ = _logits(xp, a, b, where, scale, diagonal)
    same = _same(row_group, column_group)
    part = _part(live, same, groups)
    fine = xp.expand_dims(xp.isfinite(outputs[0]), axis=-1)
    part = part & fine
    lse = select(xp, fine, xp.expand_dims(outputs[0], axis=-1))
    p = select(xp, part, xp.exp(select(xp, part, z - lse)))
    if same is None or groups != "any":
        return p, None
    return p, xp.astype(same & part, z.dtype)


def _vjp(xp, operands, outputs, cotangents, needs, **options):
    a, b = operands[:2]
    p, own = _slopes(xp, operands, outputs, **options)
    g, h = (None if c is None else xp.expand_dims(c, axis=-1) for c in cotangents)
    dz = xp.zeros_like(p) if g is None else select(xp, p != 0, p * g)
    if h is not None and own is not None:
        dz = dz + select(xp, own != 0, own * h)
    return (*_pulled(xp, a, b, dz * options["scale"], needs), None, None, None)


def _pulled(xp: Any, a: Array, b: Array, dz: Array, needs: tuple) -> tuple:
    """Gradients of both sets of vectors from that of their products."""
    da = db = None
    if needs[0]:
        da = _fit(xp, xp.matmul(dz, _clean(xp, b)[0]), a)
    if needs[1]:
        db = _fit(xp, xp.matmul(xp.matrix_transpose(dz), _clean(xp, a)[0]), b)
    return da, db


def _fit(xp: Any, g: Array, like: Array) -> Array:
    """`g` summed over the batch axes along which `like` was broadcast."""
    extra = g.ndim - like.ndim
    if extra:
        g = xp.sum(g, axis=tuple(range(extra)))
    axes = tuple(i for i, n in enumerate(like.shape) if n == 1 and g.shape[i] != 1)
    return xp.sum(g, axis=axes, keepdims=True) if axes else g


def _pushed(xp, operands, tangents, scale) -> Array:
    a, b = (_clean(xp, x)[0] for x in operands[:2])
    ta, tb = tangents[:2]
    left = 0.0 if ta is None else xp.matmul(ta, xp.matrix_transpose(b))
    right = 0.0 if tb is None else xp.matmul(a, xp.matrix_transpose(tb))
    return (left + right) * scale


def _jvp(xp, operands, outputs, tangents, **options):
    p, own = _slopes(xp, operands, outputs, **options)
    t = _pushed(xp, operands, tangents, options["scale"])
    lse = xp.sum(select(xp, p != 0, p * t), axis=-1)
    if own is None:
        return lse, xp.zeros_like(lse)
    return lse, xp.sum(select(xp, own != 0, own * t), axis=-1)


# -- softplus --------------------------------------------------------------------------------------


def _softplus_reference(xp, a, b, where, *, scale, diagonal):
    z, live, poisoned = _logits(xp, a, b, where, scale, diagonal)
    positive = z >= 0
    tail = xp.log1p(xp.exp(xp.where(positive, -z, z)))
    y = select(xp, live, select(xp, positive, z) + tail)
    return _spoiled(xp, xp.sum(y, axis=-1), live & poisoned)


def _softplus_slopes(xp, operands, outputs, *, scale, diagonal) -> Array:
    a, b, where = operands
    z, live, _ = _logits(xp, a, b, where, scale, diagonal)
    positive = z >= 0
    e = xp.exp(xp.where(positive, -z, z))
    live = live & xp.expand_dims(xp.isfinite(outputs[0]), axis=-1)
    return select(xp, live, xp.where(positive, xp.ones_like(e), e) / (1.0 + e))


def _softplus_vjp(xp, operands, outputs, cotangents, needs, **options):
    if cotangents[0] is None:
        return None, None, None
    p = _softplus_slopes(xp, operands, outputs, **options)
    dz = select(xp, p != 0, p * xp.expand_dims(cotangents[0], axis=-1))
    a, b, _ = operands
    return (*_pulled(xp, a, b, dz * options["scale"], needs), None)


def _softplus_jvp(xp, operands, outputs, tangents, **options):
    p = _softplus_slopes(xp, operands, outputs, **options)
    t = _pushed(xp, operands, tangents, options["scale"])
    return (xp.sum(select(xp, p != 0, p * t), axis=-1),)


def _why_not(facts: Facts) -> str | None:
    if facts.dtype not in ("float32", "float64"):
        return f"dtype is {facts.dtype}; products are summed in float32 or float64"
    return None


_MODULE = "anymax._cpu.pairwise_logsumexp"

pairwise_logsumexp = Primitive(
    "pairwise_logsumexp",
    _reference,
    _vjp,
    _jvp,
    (False, False),
    (Kernel("numba", _MODULE, "forward", "backward", _why_not),),
)
pairwise_softplus = Primitive(
    "pairwise_softplus",
    _softplus_reference,
    _softplus_vjp,
    _softplus_jvp,
    (False,),
    (Kernel("numba", _MODULE, "softplus_forward", "softplus_backward", _why_not),),
)
