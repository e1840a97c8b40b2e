"""`flexible_sampling_probability`: how readily a sample enters the batch."""

import numpy as np

from anymax.testing import Case

_N = np.asarray([[10.0, 20.0, 30.0], [200.0, np.nan, 3.0]])
_SEEN = np.asarray([10.0, 12.0, 4.0])
_STREAM = {"total": 100.0, "num_classes": 4}

CASES = [
    Case("batch", (_N, _SEEN), _STREAM, wrt=(), compiled=True),
    Case("factor", (_N[0] + 1.0, _SEEN), {"factor": 20.0, **_STREAM}, wrt=(0, 1), smooth=True),
    Case("unseen", (np.asarray([5.0, 6.0]), np.asarray(np.inf)), _STREAM, wrt=()),
    Case("scalar", (np.asarray(20.0), np.asarray(5.0)), _STREAM, wrt=()),
]
INTEGERS = (0, 1)


def ORACLE(n, first_seen, *, total, num_classes, factor=1.0):
    return np.clip((n - first_seen) * num_classes / (factor * np.longdouble(total)), 0, 1)


def DRAW(rng):
    n = rng.integers(0, 200, size=int(rng.integers(1, 5)))
    return Case("drawn", (n / 1.0, n // 2 / 1.0), _STREAM, wrt=())


def _grows(form, case):
    n, seen = case.args
    if np.isnan(n).any() or np.isinf(seen).any():
        return None
    now, later = form(n, seen, **case.options), form(n + 1.0, seen, **case.options)
    return np.minimum(now, later), now


IDENTITIES = (_grows,)
