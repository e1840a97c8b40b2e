"""`vq_logits`: logits that tokens share by their codes."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(43)
_CODE = np.asarray([4, 0, 2, 2, 0, 4, 4, 1, 2])


def _case(name, batch=(2, 3), features=3, codes=5, assignment=_CODE, options=None, **rest):
    h, codebook = _RNG.normal(size=(*batch, features)), _RNG.normal(size=(codes, features))
    return Case(name, (h, codebook, assignment), options or {}, **rest)


def _edges():
    case = _case("edges", batch=(4,), compiled=True, condition=8.0)
    h, codebook, _ = case.args
    h[1, 0], h[2] = np.nan, 512.0
    codebook[1, 2] = np.inf
    return case


CASES = [
    _case("smooth", smooth=True, compiled=True, condition=4.0),
    _edges(),
    _case("bias", options={"bias": _RNG.normal(size=9)}, wrt=(0, 1, "bias"), smooth=True,
          condition=64.0),
    _case("one_state", batch=(), condition=4.0),
    _case("a_code_each", assignment=np.arange(5), smooth=True, condition=4.0),
    _case("no_state", batch=(0,)),
    _case("no_token", assignment=np.zeros(0, int)),
    _case("large", batch=(40,), codes=60, assignment=np.arange(900) * 7 % 60, large=True,
          condition=64.0),
]  # fmt: skip


def ORACLE(h, codebook, assignment, *, bias=None):
    x = np.sum(h[..., None, :] * codebook[assignment], axis=-1)
    return x if bias is None else x + bias


def DRAW(rng):
    k, v, features = (int(n) for n in rng.integers(1, 8, size=3))
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    h, codebook = rng.normal(size=(*batch, features)), rng.normal(size=(k, features))
    return Case("drawn", (h, codebook, rng.integers(0, k, size=v)), condition=64.0)


def _dense_layer(form, case):
    h, codebook, assignment = case.args
    if not np.isfinite(codebook).all():
        return None
    dense = h @ codebook[assignment].T + case.options.get("bias", 0.0)
    return form(*case.args, **case.options), dense


INTEGERS = (0, 1)
IDENTITIES = (_dense_layer,)
