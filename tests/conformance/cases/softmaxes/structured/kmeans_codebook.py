"""`kmeans_codebook`: lloyd's iterations."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(45)
_CENTRES = 16.0 * np.asarray([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0], [2.0, 2.0]])
_ROWS = (_CENTRES[:, None, :] + np.rint(_RNG.normal(size=(4, 5, 2)))).reshape(20, 2)

CASES = [
    Case("by_number", (_ROWS, np.asarray([0, 6, 11, 19])), {"num_iters": 3}, wrt=(), compiled=True),
    Case("by_value", (_ROWS, _CENTRES + 1.0), {"num_iters": 2}, wrt=()),
    Case("crowded", (_ROWS, np.asarray([0, 0, 0, 0])), {"num_iters": 4}, wrt=()),
    Case("no_iteration", (_ROWS, _CENTRES), {"num_iters": 0}, wrt=()),
    Case("one_code", (_ROWS, np.asarray([3])), {"num_iters": 2}, wrt=()),
    Case("one_row", (_ROWS[:1], np.asarray([0, 0])), {"num_iters": 1}, wrt=()),
]


def ORACLE(w, init, *, num_iters=25):
    codebook = w[init] if init.dtype.kind in "iu" else init.copy()
    for _ in range(num_iters):
        d = np.sum((w[:, None, :] - codebook) ** 2, axis=-1)
        codes = np.argmin(d, axis=-1)
        worst = iter(np.argsort(-np.min(d, axis=-1), kind="stable").tolist() * codebook.shape[0])
        codebook = np.stack(
            [
                np.mean(w[codes == k], axis=0) if (codes == k).any() else w[next(worst)]
                for k in range(codebook.shape[0])
            ]
        )
    return codebook, np.argmin(np.sum((w[:, None, :] - codebook) ** 2, axis=-1), axis=-1)


def DRAW(rng):
    centres = 32.0 * rng.permutation(9)[: rng.integers(1, 5), None] + np.zeros((1, 2))
    rows = np.repeat(centres, 3, axis=0) + rng.integers(-2, 3, size=(3 * len(centres), 2))
    return Case("drawn", (rows, centres), {"num_iters": 2}, wrt=())


def _assigns_the_nearest(form, case):
    codebook, codes = form(*case.args, **case.options)
    return am.softmaxes.assign_codes(case.args[0], codebook), codes


INTEGERS = (0,)
IDENTITIES = (_assigns_the_nearest,)
