"""`assign_codes`: nearest codes."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(44)
_CODES = np.rint(4.0 * _RNG.normal(size=(5, 3)))
_ROWS = np.rint(4.0 * _RNG.normal(size=(11, 3)))
_BAD = _ROWS.copy()
_BAD[2, 1] = np.nan

CASES = [
    Case("whole_numbers", (_ROWS, _CODES), wrt=(), compiled=True),
    Case("ties", (np.zeros((3, 2)), np.ones((4, 2))), wrt=()),
    Case("bad_row", (_BAD, _CODES), wrt=()),
    Case("bad_code", (_ROWS, np.where(np.arange(5)[:, None] == 1, np.nan, _CODES)), wrt=()),
    Case("one_code", (_ROWS, _CODES[:1]), wrt=()),
    Case("no_row", (_ROWS[:0], _CODES), wrt=()),
    Case("large", (np.rint(4.0 * _RNG.normal(size=(500, 4))), _RNG.normal(size=(33, 4))), wrt=(),
         large=True),
]  # fmt: skip


def ORACLE(w, codebook):
    d = np.sum((w[:, None, :] - codebook) ** 2, axis=-1)
    return np.argmin(np.where(np.isnan(d), np.inf, d), axis=-1)


def DRAW(rng):
    v, k, features = rng.integers(1, 7, size=3)
    shapes = (v, features), (k, features)
    return Case("drawn", tuple(rng.integers(-9, 10, size=s).astype(float) for s in shapes), wrt=())


def _codes_are_their_own(form, case):
    codebook = case.args[1]
    if np.isnan(codebook).any() or np.unique(codebook, axis=0).shape != codebook.shape:
        return None
    return form(codebook, codebook), np.arange(codebook.shape[0])


INTEGERS = (0, 1)
IDENTITIES = (_codes_are_their_own,)
