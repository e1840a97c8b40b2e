"""`masked_softmax_over_children`: softmax over the children of a coarse class."""

import numpy as np

import anymax as am
from anymax.testing import Case, logits, row_cases

_ROWS = {case.name: case for case in row_cases()}
_X, _WHERE = _ROWS["masked"].args[0], _ROWS["masked"].options["where"]
_SMOOTH = logits(6, 5, seed=8).reshape(2, 3, 5)
_CHILD = np.random.default_rng(8).uniform(size=(2, 3, 5)) < 0.6

CASES = [
    Case("edges", (_X, _WHERE), compiled=True),
    Case("smooth", (_SMOOTH, _CHILD), smooth=True, compiled=True),
    Case("first_axis", (_X, _WHERE), {"axis": 0}),
    Case("all_axes", (_SMOOTH, _CHILD), {"axis": None}),
    Case("one_level", (_SMOOTH, _CHILD[:1, :1])),
    Case("scalar", (np.asarray(0.75), np.asarray(True))),
    Case("no_child", (_SMOOTH[0], np.zeros((3, 5), bool))),
    Case("no_class", (np.zeros((3, 0)), np.zeros((3, 0), bool))),
    Case("no_row", (np.zeros((0, 4)), np.zeros((0, 4), bool))),
    Case("wide", (logits(37, 2051), logits(37, 2051, seed=9) > 0), large=True),
]


def ORACLE(x, child, *, axis=-1):
    keep = (x != -np.inf) & child
    axis = tuple(range(x.ndim)) if axis is None or x.ndim == 0 else axis
    top = np.max(x, axis=axis, keepdims=True, where=keep, initial=-np.inf)
    e = np.where(keep, np.exp(np.where(keep, x - np.where(top == -np.inf, 0, top), 0)), 0)
    s = np.sum(e, axis=axis, keepdims=True)
    return np.where(keep, e / np.where(s == 0, 1, s), 0)


def DRAW(rng):
    shape = (*rng.integers(1, 4, size=rng.integers(0, 3)), rng.integers(1, 7))
    return Case("drawn", (3 * rng.normal(size=shape), rng.uniform(size=shape) < 0.6))


def _is_masked_softmax(form, case):
    x, child = case.args
    return form(x, child, **case.options), am.softmax(x, where=child, **case.options)


IDENTITIES = (_is_masked_softmax,)
