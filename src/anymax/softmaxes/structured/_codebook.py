"""What the VQ-Logits forms share: the logits of the codes and the mass of tokens behind each."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array, _shapes
from anymax._array import Array
from anymax.primitives._masked import safe_max, select
from anymax.softmaxes.structured._gather import check_index, columns
from anymax.softmaxes.structured._linear import linear
from anymax.softmaxes.structured._segments import group_logsumexp, groups, sizes

_SHAPES = "h: ... D, codebook: K D, assignment: V, counts: K, bias: V -> ... V"


class Codes(NamedTuple):
    """Logits z of the codes (..., K), shifted by their maximum, with `log_mass` added to them.

    `used` are codes with a token that takes part; `log_share` (V,) is the log-probability of a
    token within its code, of which `kept` (V,) says whether it takes part (None: all do).
    """

    xp: Any
    z: Array
    log_mass: Array
    used: Array
    assignment: Array
    bias: Array | None
    kept: Array | None
    dtype: Any


def prepare(
    name: str,
    h: Array,
    codebook: Array,
    assignment: Array,
    counts: Array | None,
    bias: Array | None,
    where: Array | None,
    tokens: bool = True,
) -> Codes:
    """Check the arguments; score the codes that are used, whatever the others hold.

    Without `tokens` (the caller wants codes alone) known counts make the assignment superfluous.
    """
    check = tokens or counts is None or bias is not None or where is not None
    xp, h, codebook, bias, dtype = arguments(
        name, h, codebook, assignment, bias, counts, where, check
    )
    num_codes, num_tokens = codebook.shape[0], assignment.shape[0]
    _array.check_mask(name, "where", where, (num_tokens,), "the tokens (V,)")
    if where is not None:
        where = xp.broadcast_to(where, (num_tokens,))
    log_mass = _log_mass(xp, num_codes, assignment, counts, bias, where, h.dtype)
    used = log_mass != -xp.inf
    codebook = xp.where(used[:, None], codebook, xp.zeros_like(codebook))
    logits = linear(xp, h, codebook)
    keep = used & (logits != -xp.inf)
    top = safe_max(xp, logits, keep, (logits.ndim - 1,))
    top = xp.where(top == xp.inf, xp.full_like(top, xp.nan), top)  # inf - inf would warn
    z = select(xp, keep, select(xp, keep, logits) - top + select(xp, used, log_mass), -xp.inf)
    if bias is not None:
        some = bias != -xp.inf
        where = some if where is None else where & some
    return Codes(xp, z, log_mass, used, assignment, bias, where, dtype)


def arguments(
    name: str,
    h: Array,
    codebook: Array,
    assignment: Array,
    bias: Array | None,
    counts: Array | None = None,
    where: Array | None = None,
    check: bool = True,
) -> tuple[Any, Array, Array, Array | None, Any]:
    """Namespace, widened h, codebook and bias, and the dtype of the result.

    Without `check` the numbers in the assignment aren't looked at, for forms that don't use them.
    """
    _array.required(name, h=h, codebook=codebook, assignment=assignment)
    arrays = {"h": h, "codebook": codebook, "assignment": assignment, "bias": bias}
    xp = _array.namespace(name, **arrays, counts=counts, where=where)
    _shapes.check(name, _SHAPES, {**arrays, "counts": counts})
    if check:
        check_index(xp, name, "assignment", assignment, codebook.shape[0], "codes")
    h, codebook, bias = _array.promote(xp, name, h=h, codebook=codebook, bias=bias)
    dtype = h.dtype
    h, codebook, bias = (_array.widen(xp, x) for x in (h, codebook, bias))
    return xp, h, codebook, bias, dtype


def _log_mass(
    xp: Any,
    num_codes: int,
    assignment: Array,
    counts: Array | None,
    bias: Array | None,
    where: Array | None,
    dtype: Any,
) -> Array:
    """Logarithm of each code's number of tokens, or of their sum of exp(bias) (K,)."""
    if counts is None or bias is not None or where is not None:
        g = groups(xp, assignment, num_codes)
        if bias is not None:
            return group_logsumexp(xp, g, bias, where)
        counts = sizes(xp, g, where)
    some = counts > 0
    n = xp.astype(xp.where(some, counts, xp.ones_like(counts)), dtype)
    return select(xp, some, xp.log(n), -xp.inf)


def log_share(c: Codes) -> Array:
    """Log-probability of each token within its code (V,); 0 where the token takes no part."""
    xp = c.xp
    log_mass = columns(xp, select(xp, c.used, c.log_mass), c.assignment)
    if c.bias is None:
        return -log_mass
    return select(xp, c.kept, c.bias) - log_mass
