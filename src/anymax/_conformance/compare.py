"""Agreement of two arrays: the same non-finite values in the same places, the rest within bounds.

There is one measure of error, ``|actual - expected| / (floor + |expected|)``, for values, gradients
and kernels alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
LARGEST = {"float64": 1.7e308, "float32": 3.4028235e38, "float16": 65504.0, "bfloat16": 3.3895e38}


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Bound on the relative error, and the magnitude below which it counts as absolute."""

    rtol: float
    floor: float

    def times(self, factor: float) -> Tolerance:
        return Tolerance(self.rtol * factor, self.floor)


def as_numpy(x: Any) -> np.ndarray:
    """Any library's array as a NumPy array of extended precision (integers and booleans stay)."""
    from anymax._conformance.columns import to_numpy

    y = to_numpy(x)
    return y if y.dtype.kind in "iuc" else y.astype(np.longdouble)


def error(actual: np.ndarray, expected: np.ndarray, floor: float) -> np.ndarray:
    """The relative error of every cell; infinite where only one of the two is finite."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    with np.errstate(all="ignore"):
        e = np.abs(actual - expected) / (floor + np.abs(expected))
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    e = np.where(same, 0.0, e)
    finite = np.isfinite(actual) & np.isfinite(expected)
    return np.where(finite | same, e, np.inf)


def compare(
    actual: Any, expected: Any, *, rtol: float, floor: float = 1.0, what: str = "result"
) -> float:
    """See :func:`anymax.testing.assert_close`."""
    a, e = as_numpy(actual), as_numpy(expected)
    if a.shape != e.shape:
        raise AssertionError(f"{what} has shape {a.shape}, expected {e.shape}")
    if not a.size:
        return 0.0
    errors = error(a, e, floor)
    worst = int(np.argmax(errors))
    if not errors.flat[worst] <= rtol:
        place = tuple(map(int, np.unravel_index(worst, errors.shape)))
        bad = int(np.sum(~(errors <= rtol)))
        raise AssertionError(
            f"{what}: {bad} of {a.size} cells are off by more than {rtol:.2g}; the worst, at "
            f"{place}, is {a.flat[worst]!s}, expected {e.flat[worst]!s} "
            f"(error {float(errors.flat[worst]):.3g})"
        )
    return float(errors.flat[worst])


def overflowed(expected: np.ndarray, dtype: str) -> np.ndarray:
    """`expected` with infinities where `dtype` cannot hold it."""
    if expected.dtype.kind == "c":
        return expected
    with np.errstate(all="ignore"):
        big = np.abs(expected) > LARGEST[dtype]
    return np.where(big, np.copysign(np.inf, expected), expected)
