"""`direction_correlation`: cosine of the angle between two arrays."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(8)
_A, _B = _RNG.normal(size=(3, 2)), _RNG.normal(size=(3, 2))

CASES = [
    Case("smooth", (_A, _B), smooth=True, compiled=True, condition=64.0),
    Case("zero", (0 * _A, _B), wrt=()),
    Case("nan", (np.asarray([1.0, np.nan]), np.ones(2)), wrt=()),
    Case("same", (_A, -_A), wrt=()),
    Case("scalar", (np.asarray(2.0), np.asarray(-0.5)), wrt=()),
    Case("empty", (np.zeros((0, 2)), np.zeros((0, 2)))),
]
INTEGERS = (0, 1)


def ORACLE(w1, w2):
    square = np.sum(w1 * w1) * np.sum(w2 * w2)
    return np.sum(w1 * w2) / np.sqrt(square) if square != 0 else np.zeros(())


def scale_invariant(form, case):
    a, b = case.args
    return form(a * 1e150, b * 1e-150), form(a, b)


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=2))
    return Case("random", (rng.normal(size=shape), rng.normal(size=shape)), condition=1e3)


IDENTITIES = (scale_invariant,)
