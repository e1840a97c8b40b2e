"""`vq_softmax`: softmax over tokens that share the logits of codes."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(40)
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
    z, s, keep = _softmax(h, codebook, assignment, bias, where)
    return np.where(keep, np.exp(z) / s, 0)


def DRAW(rng):
    k, v, features = (int(n) for n in rng.integers(1, 8, size=3))
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    h, codebook = rng.normal(size=(*batch, features)), rng.normal(size=(k, features))
    return Case("drawn", (h, codebook, rng.integers(0, k, size=v)), condition=4.0)


def _dense_layer(form, case):
    """A dense layer whose weight is the codes of the tokens."""
    h, codebook, assignment = case.args
    if not np.isfinite(codebook).all():
        return None
    bias, where = case.options.get("bias", 0.0), case.options.get("where")
    dense = am.softmax(h @ codebook[assignment].T + bias, where=where)
    return form(*case.args, **case.options), dense


def _scattered_logits(form, case):
    bias, where = case.options.get("bias"), case.options.get("where")
    if not np.isfinite(case.args[1]).all():
        return None
    x = am.vq_logits(*case.args, bias=bias)
    return form(*case.args, **case.options), am.softmax(x, where=where)


INTEGERS = (0, 1)
IDENTITIES = (_dense_layer, _scattered_logits)
