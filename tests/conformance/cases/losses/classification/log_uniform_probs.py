"""`log_uniform_probs`: the log-uniform distribution over classes."""

import numpy as np

import anymax as am
from anymax.testing import Case

_INDEX = np.asarray([[0, 1, 2], [9, 5, 0]])

CASES = [
    Case("batch", (_INDEX,), {"num_classes": 10}, compiled=True),
    Case("all", (np.arange(7),), {"num_classes": 7}),
    Case("rare", (np.asarray([0, 10**6 - 1]),), {"num_classes": 10**6}),
    Case("scalar", (np.asarray(3),), {"num_classes": 4}),
    Case("none", (np.zeros((0, 2), int),), {"num_classes": 3}),
]
INTEGERS = ()


def ORACLE(index, *, num_classes):
    k = index.astype(np.longdouble)
    return np.log1p(1 / (k + 1)) / np.log1p(np.longdouble(num_classes))


def DRAW(rng):
    v = int(rng.integers(1, 9))
    return Case("drawn", (rng.integers(0, v, size=tuple(rng.integers(1, 5, size=2))),),
                {"num_classes": v})  # fmt: skip


def _sums_to_one(form, case):
    v = min(case.options["num_classes"], 10**4)
    return np.sum(am.losses.log_uniform_probs(np.arange(v), num_classes=v)), np.asarray(1.0)


IDENTITIES = (_sums_to_one,)
