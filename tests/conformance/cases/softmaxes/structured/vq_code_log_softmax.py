"""`vq_code_log_softmax`: log-probabilities of codes."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(42)
_CODE = np.asarray([4, 0, 2, 2, 0, 4, 4, 1, 2])  # of five codes one has no token
_COUNTS = np.asarray([2, 1, 3, 0, 3])


def _case(name, batch=(2, 3), features=3, codes=5, assignment=_CODE, options=None, **rest):
    h, codebook = _RNG.normal(size=(*batch, features)), _RNG.normal(size=(codes, features))
    return Case(name, (h, codebook, assignment), options or {}, **rest)


def _edges():
    """A state of NaN, large logits, masked tokens, NaN in codes whose tokens don't take part."""
    where, bias = np.ones(9, bool), _RNG.normal(size=9)
    where[[7, 0]] = False
    bias[3] = -np.inf
    case = _case("edges", batch=(4,), options={"where": where, "bias": bias},
                 wrt=(0, 1, "bias"), compiled=True, condition=8.0)  # fmt: skip
    h, codebook, _ = case.args
    h[1, 0], h[2] = np.nan, 512.0
    codebook[[1, 3]] = np.nan
    return case


def _unused():
    """NaN in the code without a token."""
    case = _case("unused")
    case.args[1][3] = np.nan
    return case


CASES = [
    _case("smooth", smooth=True, compiled=True, condition=2.0),
    _edges(),
    _unused(),
    _case("counts", options={"counts": _COUNTS}, smooth=True, condition=2.0),
    _case("bias", options={"bias": _RNG.normal(size=9)}, wrt=(0, 1, "bias"), smooth=True,
          condition=2.0),
    _case("where", options={"where": np.arange(9) % 3 > 0, "counts": _COUNTS}, condition=2.0),
    _case("nothing", options={"where": np.zeros(9, bool)}),
    _case("one_state", batch=(), condition=2.0),
    _case("a_code_each", assignment=np.arange(5), smooth=True, condition=2.0),
    _case("no_state", batch=(0,)),
    _case("no_token", assignment=np.zeros(0, int)),
    _case("large", batch=(40,), codes=60, assignment=np.arange(900) * 7 % 60, large=True,
          condition=4.0),
]  # fmt: skip


def _softmax(h, codebook, assignment, bias, where):
    """The dense softmax over scattered logits."""
    v = assignment.size
    bias, where = np.zeros(v) if bias is None else bias, True if where is None else where
    keep = where & (bias != -np.inf) & np.ones(v, bool)
    x = np.sum(h[..., None, :] * codebook[assignment], axis=-1)
    x = np.where(keep, x + np.where(keep, bias, 0), 0)
    keep = np.broadcast_to(keep, x.shape) & (x != -np.inf)
    top = np.max(x, axis=-1, keepdims=True, where=keep, initial=-np.inf)
    z = np.where(keep, x - np.where(top == -np.inf, 0, top), 0)
    s = np.sum(np.where(keep, np.exp(z), 0), axis=-1, keepdims=True)
    return z, np.where(s == 0, 1, s), keep


def ORACLE(h, codebook, assignment, *, counts=None, bias=None, where=None):
    """The sum over a code's tokens; their exponents relative to the code's largest."""
    z, s, keep = _softmax(h, codebook, assignment, bias, where)
    out = np.full((*h.shape[:-1], codebook.shape[0]), -np.inf, z.dtype)
    for k in np.unique(assignment):
        inside = keep & (assignment == k)
        top = np.max(z, axis=-1, where=inside, initial=-np.inf)
        e = np.exp(np.where(inside, z - np.where(top == -np.inf, 0, top)[..., None], 0))
        total = np.sum(e, axis=-1, where=inside)
        some = np.any(inside, axis=-1)
        out[..., k] = np.where(
            some, top + np.log(np.where(some, total, 1)) - np.log(s[..., 0]), -np.inf
        )
    return out


def DRAW(rng):
    k, v, features = (int(n) for n in rng.integers(1, 8, size=3))
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    h, codebook = rng.normal(size=(*batch, features)), rng.normal(size=(k, features))
    return Case("drawn", (h, codebook, rng.integers(0, k, size=v)), condition=4.0)


def _sums_of_tokens(form, case):
    p = am.vq_softmax(*case.args, **case.options)
    _, codebook, assignment = case.args
    member = assignment == np.arange(codebook.shape[0])[:, None]
    if np.isnan(p).any():
        return None
    return np.exp(form(*case.args, **case.options)), p @ member.T


INTEGERS = (0, 1)
IDENTITIES = (_sums_of_tokens,)
