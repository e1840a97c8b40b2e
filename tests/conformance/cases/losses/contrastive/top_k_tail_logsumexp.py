"""`top_k_tail_logsumexp`: the top and a sample of the rest."""

import numpy as np

import anymax as am
from anymax._conformance.pairs import lse
from anymax.testing import Case, logits

_TOP, _REST = logits(6, 4, seed=1), logits(6, 3, seed=2)
_TOP[1, 2], _TOP[2], _REST[2] = -np.inf, -np.inf, -np.inf
_TOP[3, 0], _REST[4, 1], _TOP[5, 1] = np.nan, np.nan, np.inf

CASES = [
    Case("edges", (_TOP, _REST), {"num_classes": 12}, compiled=True),
    Case(
        "smooth", (logits(6, 4, seed=3).reshape(2, 3, 4), logits(6, 2, seed=4).reshape(2, 3, 2)),
        {"num_classes": 100}, compiled=True, smooth=True,
    ),
    Case("all_found", (_TOP, _REST[:, :0]), {"num_classes": 4}),
    Case("one_row", (_TOP[0], _REST[0]), {"num_classes": 5}),
]  # fmt: skip


def ORACLE(top_logits, sample_logits, *, num_classes, axis=-1):
    top, rest = np.moveaxis(top_logits, axis, -1), np.moveaxis(sample_logits, axis, -1)
    y = np.zeros(top.shape[:-1], np.longdouble)
    k, m = top.shape[-1], rest.shape[-1]
    for row in np.ndindex(y.shape):
        parts = [top[row]]
        if num_classes > k:
            parts.append(rest[row] + np.log(np.longdouble(num_classes - k) / m))
        z = np.concatenate(parts)
        bad = np.isnan(z).any()
        z = z[z != -np.inf]
        y[row] = np.nan if bad else (np.inf if np.any(z == np.inf) else lse(z))
    return y


def DRAW(rng):
    n, k, m = rng.integers(1, 4), rng.integers(1, 5), rng.integers(1, 5)
    arrays = rng.normal(size=(n, k)), rng.normal(size=(n, m))
    return Case("drawn", arrays, {"num_classes": int(k + rng.integers(0, 50))})


def _a_sample_of_all_is_exact(form, case):
    """With every other class drawn once."""
    x, y = case.args
    if not np.isfinite(x).all() or not y.size:
        return None
    whole = np.concatenate([x, y], axis=-1)
    return form(x, y, num_classes=whole.shape[-1]), am.logsumexp(whole)


IDENTITIES = (_a_sample_of_all_is_exact,)
INTEGERS = (0, 1)
