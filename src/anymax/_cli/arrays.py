"""NumPy data to arrays of a library and back, by the library's name."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

# name -> what has to be importable
LIBRARIES = {
    "numpy": "numpy",
    "torch": "torch",
    "jax": "jax",
    "dask": "dask.array",
    "strict": "array_api_strict",
    "cupy": "cupy",
}
TITLES = {"numpy": "NumPy", "torch": "torch", "jax": "JAX", "dask": "dask",
          "strict": "array-api-strict", "cupy": "CuPy"}  # fmt: skip


def absent(library: str) -> str | None:
    """Why a library can't be used here; None when it can."""
    root = LIBRARIES[library].partition(".")[0]
    if importlib.util.find_spec(root) is None:
        return "not installed"
    if library == "cupy":
        import cupy

        return None if cupy.is_available() else "no CUDA device is available"
    return None


def put(library: str, x: np.ndarray) -> Any:
    """The data of a NumPy array as an array of `library`."""
    module = importlib.import_module(LIBRARIES[library])
    if library == "torch":
        return module.from_numpy(np.array(x))
    if library == "jax":
        module = importlib.import_module("jax.numpy")
    if library == "dask":
        return module.from_array(x, chunks=(-1,) * x.ndim)
    return module.asarray(x)


def fetch(x: Any) -> np.ndarray:
    """The data of an array of any library as a NumPy array."""
    if hasattr(x, "compute"):
        x = x.compute()
    if hasattr(x, "detach"):
        return x.detach().cpu().numpy()
    if hasattr(x, "get"):
        return x.get()
    return np.from_dlpack(x) if hasattr(x, "__dlpack__") else np.asarray(x)
