"""Gradients of an oracle by differences, and which entries of a gradient must be exactly zero.

Nothing here knows a formula of a derivative.  A cell is *inert* when not even NaN put there changes
a result: masked cells are, whatever else their row holds, and their gradient must be exactly 0.
Other cells have the slope of the finite results.  Cells that reach a non-finite result are free
(NaN is as good as anything), unless the form promises silence there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from anymax._conformance.cell import oracle_of
from anymax.testing import Case

_STEP = np.longdouble(2.0**-17)
_HUGE = 1e300


@dataclass(frozen=True, slots=True)
class Slope:
    """The gradient by one argument: its values, where they are known, where they must be 0."""

    value: np.ndarray
    known: np.ndarray
    inert: np.ndarray


def cotangent(shape: tuple[int, ...], number: int) -> np.ndarray:
    """Small multiples of 1/8 that every dtype represents, different for every result."""
    n = int(np.prod(shape))
    return (((np.arange(n) * 7919 + 31 * number + 3) % 17 - 8) / 8.0).reshape(shape)


def slopes(oracle: Callable, case: Case, silent: bool) -> dict[int | str, Slope]:
    """The truth about every differentiated argument of a case."""
    truth = oracle_of(oracle, case)
    cotangents = [cotangent(y.shape, i) for i, y in enumerate(truth)]

    def results(changed: Case) -> np.ndarray:
        return np.concatenate([np.ravel(y) for y in oracle_of(oracle, changed)])

    flat = np.concatenate([np.ravel(g) for g in cotangents])
    probe = _Probe(results, flat, case, silent)
    return {slot: probe.slope(slot) for slot in case.differentiated()}


class _Probe:
    """Differences of one case's results."""

    def __init__(self, results, flat: np.ndarray, case: Case, silent: bool) -> None:
        self.results, self.flat, self.case, self.silent = results, flat, case, silent
        self.base = results(case)
        self.finite = np.isfinite(self.base)
        self.mild = _healed(results, case)
        self.mild_base = results(self.mild)
        self.blind = bool(np.any(np.isnan(self.mild_base)))

    def slope(self, slot: int | str) -> Slope:
        x = self.case.at(slot)
        value, known, inert = np.zeros(x.shape), np.zeros(x.shape, bool), np.zeros(x.shape, bool)
        for place in np.ndindex(x.shape):
            reach = self._reach(slot, place)
            inert[place] = (not reach.any() and not self.blind) or self._absorbed(slot, place)
            free = (reach & ~self.finite).any() and not self.silent
            if inert[place] or free or (self.blind and not reach.any()):
                continue
            slope = self._difference(slot, place) if np.isfinite(x[place]) else 0.0
            known[place] = np.isfinite(slope) and (np.isfinite(x[place]) or self.silent)
            value[place] = slope if known[place] else 0.0
        return Slope(value, known, inert)

    def _reach(self, slot, place) -> np.ndarray:
        """Which results NaN in the cell changes, judged where all numbers are mild."""
        y = self.results(_with(self.mild, slot, place, np.nan))
        return ~((y == self.mild_base) | (np.isnan(y) & np.isnan(self.mild_base)))

    def _absorbed(self, slot, place) -> bool:
        """Whether an infinite cell acts as a mask: a huge finite number does the same."""
        return np.isinf(self.case.at(slot)[place]) and _masks(self.results, self.case, slot, place)

    def _difference(self, slot, place) -> float:
        """The central difference over the finite results, in extended precision."""
        v = self.case.at(slot)[place]
        up, down = (self.results(_with(self.case, slot, place, v + h)) for h in (_STEP, -_STEP))
        with np.errstate(invalid="ignore"):
            change = np.where(self.finite, up - down, 0.0)
        return float(np.sum(change * self.flat) / (2.0 * _STEP))


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.all((a == b) | (np.isnan(a) & np.isnan(b))))


def _with(case: Case, slot, place, value) -> Case:
    def change(s, x: np.ndarray) -> np.ndarray:
        if s != slot:
            return x
        x = x.astype(np.longdouble)
        x[place] = value
        return x

    return case.mapped(change)


def _masks(results, case: Case, slot, place) -> bool:
    """Whether an infinity does what a huge finite number does, with all else finite."""

    def heal(s, x: np.ndarray) -> np.ndarray:
        return x if x.dtype.kind != "f" or s != slot else np.where(np.isfinite(x), x, 0.25)

    v = case.at(slot)[place]
    fine = case.mapped(heal)
    infinite, huge = (_with(fine, slot, place, w) for w in (v, np.sign(v) * _HUGE))
    return _same(results(infinite), results(huge))


def _healed(results, case: Case) -> Case:
    """The case with every number mild, so that each live cell shows; masking infinities stay."""
    slots = case.differentiated()

    def heal(slot, x: np.ndarray) -> np.ndarray:
        if slot not in slots:
            return x
        y = np.where(np.isfinite(x), 2.0 * np.tanh(np.nan_to_num(x) / 2.0), 0.25)
        for place in map(tuple, np.argwhere(np.isinf(x))):
            if _masks(results, case, slot, place):
                y[place] = x[place]
        return y

    return replace(case.mapped(heal), name=f"{case.name}, healed")
