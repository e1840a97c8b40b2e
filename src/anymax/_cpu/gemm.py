"""Products of matrices by the BLAS of the caller's library, into memory that is there already.

torch and NumPy bring a BLAS each, with threads of their own that wait by spinning: who has tensors
is served by torch's, so that no second set of threads is woken.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["product"]

_STRIP = 4096  # rows of the result that are made aside at a time, where BLAS can't add to it

Array = np.ndarray[Any, Any]


def product(a: Array, b: Array, out: Array, like: Any, *, add: bool = False) -> None:
    """out = a @ b, or out += a @ b; `like` is an array of the caller's.

    `out` is C-contiguous when something is added to it.
    """
    if 0 in a.shape or 0 in b.shape:
        if not add:
            out[...] = 0
        return
    if not isinstance(like, (np.ndarray, np.generic)):
        _by_torch(a, b, out, add=add)
    elif not add:
        np.matmul(a, b, out=out)
    elif (gemm := _adding(out.dtype.char)) is not None:
        # Fortran's view of out is out.T = b.T @ a.T
        (x, x_turned), (y, y_turned) = _seen(b), _seen(a)
        gemm(1.0, x, y, 1.0, out.T, trans_a=x_turned, trans_b=y_turned, overwrite_c=1)
    else:
        for i in range(0, len(out), _STRIP):
            out[i : i + _STRIP] += a[i : i + _STRIP] @ b


def _by_torch(a: Array, b: Array, out: Array, *, add: bool) -> None:
    torch = importlib.import_module("torch")
    x, y, z = (torch.from_numpy(t) for t in (a, b, out))
    if add:
        z.addmm_(x, y)
    else:
        torch.mm(x, y, out=z)


@functools.cache
def _adding(char: str) -> Callable[..., Any] | None:
    """BLAS's own product, which NumPy doesn't let add to its result; None without SciPy."""
    if importlib.util.find_spec("scipy") is None:
        return None
    return getattr(importlib.import_module("scipy.linalg.blas"), {"f": "sgemm", "d": "dgemm"}[char])


def _seen(x: Array) -> tuple[Array, int]:
    """Memory that Fortran takes without a copy, and whether it has to be turned to be x.T."""
    return (x, 1) if x.flags.f_contiguous and not x.flags.c_contiguous else (x.T, 0)
