"""The columns of the matrix: array libraries, and the manners in which they can be called."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from anymax._array import library

ALL = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Column:
    """One way to hand arrays to a form and to take results back.

    Parameters
    ----------
    name, library, device : str
        What the column is called, and the words by which dispatch knows it.
    absent : callable
        Why it cannot run on this machine, or None.
    convert : callable
        From a NumPy array and the name of a dtype to an array of the library.
    dtypes : tuple of str
        The floating dtypes that the library has.
    call : callable
        How a function is called: directly, compiled, or lazily.
    session : callable
        A context that the calls need.
    autodiff : bool
        Whether `anymax.vjp` differentiates here.
    thrifty : tuple of str
        Dtypes in which only the compiled cases run, because each new shape is expensive.
    """

    name: str
    library: str
    absent: Callable[[], str | None]
    convert: Callable[[np.ndarray, str | None], Any]
    device: str = "cpu"
    dtypes: tuple[str, ...] = ALL
    call: Callable[..., Any] = lambda f, case: f(*case.args, **case.options)
    session: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    autodiff: bool = True
    thrifty: tuple[str, ...] = ()


def round_to(x: np.ndarray, dtype: str | None) -> np.ndarray:
    """A floating NumPy array in `dtype`; integers and booleans stay."""
    if dtype is None or x.dtype.kind != "f":
        return x.copy()
    return x.astype(numpy_dtype(dtype))


def numpy_dtype(dtype: str) -> np.dtype:
    """The NumPy dtype of that name; bfloat16 is the one of ml_dtypes."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16)


def to_numpy(x: Any) -> np.ndarray:
    """A NumPy copy of an array of any library; half types come back as float32."""
    lib = library(x)
    if lib == "torch":
        x = x.detach().cpu()
        return (x.float() if x.dtype == sys.modules["torch"].bfloat16 else x).numpy()
    if lib == "cupy":
        return x.get()
    if lib == "strict":
        import array_api_strict as strict

        return np.asarray(x.to_device(strict.Device("CPU_DEVICE")))
    y = np.asarray(x)
    return y if y.dtype.kind in "biufc" else y.astype(np.float32)


def need(module: str) -> Callable[[], str | None]:
    """Why a column is absent when its library is."""

    @functools.cache
    def absent() -> str | None:
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
        return None

    return absent


# -- how each library makes arrays ---------------------------------------------------------------


def _numpy(x: np.ndarray, dtype: str | None) -> np.ndarray:
    return round_to(x, dtype)


def _readonly(x: np.ndarray, dtype: str | None) -> np.ndarray:
    y = round_to(x, dtype)
    y.flags.writeable = False
    return y


def _strict(x: np.ndarray, dtype: str | None) -> Any:
    import array_api_strict as strict

    return strict.asarray(round_to(x, dtype))


def _torch_on(device: str) -> Callable[[np.ndarray, str | None], Any]:
    def convert(x: np.ndarray, dtype: str | None) -> Any:
        import torch

        half = dtype == "bfloat16" and x.dtype.kind == "f"
        y = torch.from_numpy(round_to(x, "float32" if half else dtype))
        return (y.to(torch.bfloat16) if half else y).to(device)

    return convert


def _jax(x: np.ndarray, dtype: str | None) -> Any:
    import jax.numpy as jnp

    return jnp.asarray(round_to(x, dtype))


def _dask(x: np.ndarray, dtype: str | None) -> Any:
    import dask.array as da

    y = round_to(x, dtype)
    return da.from_array(y, chunks=tuple(max(1, -(-n // 2)) for n in y.shape))


def _cupy(x: np.ndarray, dtype: str | None) -> Any:
    import cupy

    return cupy.asarray(round_to(x, dtype))


# -- how each library is called ------------------------------------------------------------------


@contextlib.contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Threads only wait for one another on arrays of this size."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _jax_x64() -> Iterator[None]:
    import jax

    with jax.enable_x64(True):
        yield


@contextlib.contextmanager
def _strictest() -> Iterator[None]:
    import array_api_strict as strict

    with strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        yield


def _jitted(f: Callable, case: Any) -> Any:
    """Arrays are traced, everything else is part of the program."""
    import jax

    slots = dict(case.slots())

    def run(arrays: list) -> Any:
        new = dict(zip(slots, arrays))
        traced = case.mapped(lambda slot, _: new[slot])
        return f(*traced.args, **traced.options)

    return jax.jit(run)(list(slots.values()))


def _lazily(f: Callable, case: Any) -> Any:
    """Build the graph under a scheduler that refuses to compute, then compute it."""
    import dask

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the graph was computed while it was being built")

    with dask.config.set(scheduler=refuse):
        y = f(*case.args, **case.options)
    with np.errstate(all="ignore"):  # the caller's, as the computing is
        many = dask.compute(*y if isinstance(y, tuple) else (y,), scheduler="sync")
    return many if isinstance(y, tuple) else many[0]


# -- devices -------------------------------------------------------------------------------------


_DEVICE_OF = {
    "cupy": lambda cupy: cupy.is_available(),
    "torch": lambda torch: torch.cuda.is_available(),
    "jax": lambda jax: any(d.platform == "gpu" for d in jax.devices()),
}


def need_device(module: str) -> Callable[[], str | None]:
    """Why a column is absent when its library is, or when it sees no device."""

    @functools.cache
    def absent() -> str | None:
        missing = need(module)()
        if missing is not None:
            return missing
        seen = _DEVICE_OF[module](importlib.import_module(module))
        return None if seen else f"{module} sees no CUDA device"

    return absent


COLUMNS: dict[str, Column] = {
    c.name: c
    for c in (
        Column("numpy", "numpy", need("numpy"), _numpy),
        Column("numpy:readonly", "numpy", need("numpy"), _readonly, dtypes=("float64", "float32")),
        Column("strict", "strict", need("array_api_strict"), _strict, dtypes=ALL[:2]),
        Column(
            "strict:strictest", "strict", need("array_api_strict"), _strict, dtypes=ALL[:1],
            session=_strictest,
        ),
        Column("torch", "torch", need("torch"), _torch_on("cpu"), session=_one_torch_thread),
        Column(  # op by op, the widest and the narrowest dtype; all of them run jitted
            "jax",
            "jax",
            need("jax"),
            _jax,
            dtypes=("float64", "bfloat16"),
            session=_jax_x64,
            thrifty=ALL,
        ),
        Column(
            "jax:jit", "jax", need("jax"), _jax, session=_jax_x64, call=_jitted, thrifty=ALL,
        ),
        Column(
            "dask", "dask", need("dask"), _dask, dtypes=ALL[:3], call=_lazily, autodiff=False,
            thrifty=ALL,
        ),
        Column("cupy", "cupy", need_device("cupy"), _cupy, device="cuda", dtypes=ALL[:3]),
        Column("torch:cuda", "torch", need_device("torch"), _torch_on("cuda"), device="cuda"),
        Column(
            "jax:gpu", "jax", need_device("jax"), _jax, device="cuda", session=_jax_x64,
            call=_jitted, thrifty=ALL,
        ),
    )
}  # fmt: skip
