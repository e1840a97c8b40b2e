"""Versions, backends and why each is missing, the caches and the number of threads."""

from __future__ import annotations

import argparse
import os
import platform
from importlib import metadata

from anymax import __version__, _backends
from anymax._cli.tables import show

PACKAGES = (
    "numpy", "array-api-compat", "array-api-extra", "numba", "scipy", "torch", "jax", "dask",
    "array-api-strict", "cupy-cuda13x", "cupy-cuda12x", "nvidia-cuda-nvrtc", "scikit-learn", "rich",
)  # fmt: skip
VARIABLES = ("ANYMAX_BACKEND", "ANYMAX_NUM_THREADS", "ANYMAX_CACHE", "NUMBA_CACHE_DIR")


def arguments(parser: argparse.ArgumentParser) -> None:
    """This command has none."""


def run(args: argparse.Namespace) -> int:
    """Print the facts of this installation."""
    print(f"anymax {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"{os.cpu_count()} processors, {_threads()}\n")
    show(["package", "version"], [[name, version(name)] for name in PACKAGES])
    show(["backend", "here", "why not"], [_backend(name) for name in _backends.NAMES[1:]])
    rows = [["compiled by", "kept in"], ["numba", _numba_cache()], ["NVRTC", _cuda_cache()]]
    show(rows[0], rows[1:])
    show(["variable", "value"], [[name, os.environ.get(name, "not set")] for name in VARIABLES])
    return 0


def version(package: str) -> str:
    """The installed version, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _backend(name: str) -> list[str]:
    reason = _backends.missing(name)
    return [name, "yes" if reason is None else "no", reason or ""]


def _threads() -> str:
    from anymax._cpu import pool

    return f"{pool.num_threads()} threads for kernels"


def _numba_cache() -> str:
    if _backends.missing("numba"):
        return "numba is not installed"
    if os.environ.get("ANYMAX_CACHE") == "0":
        return "nothing is kept (ANYMAX_CACHE=0)"
    from numba.core.caching import FunctionCache

    from anymax._cpu import jit

    kernel = next(iter(jit.kernels().values()))
    try:
        return str(FunctionCache(kernel.function).cache_path)
    except (RuntimeError, OSError) as error:
        return f"nothing is kept: {error}"


def _cuda_cache() -> str:
    from anymax._cuda import cache, nvrtc

    try:
        number = "{}.{}".format(*nvrtc.version())
    except OSError as error:
        return f"no compiler: {error}"
    return f"{cache.folder() or 'nothing is kept (ANYMAX_CACHE=0)'} (NVRTC {number})"
