"""What array libraries differ in, and nothing else: the only module that knows their quirks.

Everything above this file is written against the Python array API standard.  Arrays are recognised
by their type's module, so that no library is imported to ask whether an array belongs to it.
"""

from __future__ import annotations

import functools
import importlib
import math
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import array_api_compat
from numpy.exceptions import AxisError

Array = Any  # the standard has no nominal array type; shapes and dtypes are said in docstrings

_ROOTS = {
    "numpy": "numpy",
    "torch": "torch",
    "cupy": "cupy",
    "dask": "dask",
    "jax": "jax",
    "jaxlib": "jax",
    "array_api_strict": "strict",
}
_COMPAT = {"numpy", "torch", "cupy", "dask"}
_RANK = {"float16": 1, "bfloat16": 1, "float32": 2, "float64": 3, "longdouble": 4, "float128": 4}
_COMPLEX = {"complex64": "float32", "complex128": "float64"}
HALVES = frozenset({"float16", "bfloat16"})


# -- libraries ---------------------------------------------------------------------------------


def library_of_type(cls: type) -> str:
    """Name of the library that a type of array belongs to, without importing it."""
    if cls.__module__.startswith("anymax."):
        return "tape"
    for base in cls.__mro__:
        name = _ROOTS.get(base.__module__.partition(".")[0])
        if name is not None:
            return name
    return "other" if hasattr(cls, "__array_namespace__") else "none"


_known: dict[type, str] = {}  # a dict, as torch.compile warns of functools' caches


def library(x: Array) -> str:
    """Name of the library of `x`: numpy, torch, cupy, dask, jax, strict, tape, other, or none."""
    if torch_compiling():
        return "torch"
    cls = type(x)
    name = _known.get(cls)
    if name is None:
        name = _known[cls] = library_of_type(cls)
    return name


def torch_compiling() -> bool:
    """Whether torch.compile is tracing this very line (it folds to a constant then)."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()


@functools.lru_cache(16)
def _compat_namespace(name: str) -> ModuleType:
    return importlib.import_module(
        f"array_api_compat.{name}" + (".array" if name == "dask" else "")
    )


_NUMBERS = (bool, int, float, complex)


def is_scalar(x: object) -> bool:
    """Whether `x` is a Python number, which takes the dtype of the arrays beside it."""
    return isinstance(x, _NUMBERS) and not hasattr(x, "dtype")


def namespace(function: str, **arrays: Array) -> Any:
    """The array namespace that all `arrays` share; None and Python numbers are left out."""
    if torch_compiling():
        return _torch_namespace()
    found: dict[str, str] = {}
    first = None
    for name, x in arrays.items():
        if x is None or is_scalar(x):
            continue
        lib = library(x)
        if lib == "none":
            raise TypeError(
                f"{function}: {name} is a {type(x).__name__}, not an array; "
                f"wrap it first, e.g. numpy.asarray({name})"
            )
        if lib == "tape" or first is None:
            first = x
        found.setdefault(lib, name)
    if first is None:
        raise TypeError(f"{function}: no array among {', '.join(arrays)}; at least one is needed")
    if len(found) > 1 and "tape" not in found:
        said = ", ".join(f"{name} is a {lib} array" for lib, name in found.items())
        raise TypeError(
            f"{function}: arrays of different libraries: {said}; convert them to one library first"
        )
    lib = library(first)
    if lib in _COMPAT:
        return _compat_namespace(lib)
    return first.__array_namespace__()


def _torch_namespace() -> Any:
    import array_api_compat.torch as namespace

    return namespace


def stop_gradient(x: Array) -> Array:
    """`x` as a constant: no derivative flows through it, in any library."""
    lib = library(x)
    if lib == "torch":
        return x.detach()
    if lib == "jax":
        return sys.modules["jax"].lax.stop_gradient(x)
    if lib == "tape":
        from anymax import _grad

        return _grad.stop_gradient(x)
    return x


def recomputed(function: Callable, like: Array) -> Callable:
    """`function`, of which JAX keeps the arguments alone for the gradient, and computes the rest
    again."""
    if library(like) == "jax":
        return sys.modules["jax"].checkpoint(function)
    return function


def values_known(*arrays: Array) -> bool:
    """Whether Python may look at the values: false for traced, lazy, fake and meta arrays.

    And on a GPU, where looking would wait for the device and break a CUDA graph.
    """
    if torch_compiling():
        return False
    return all(_value_known(x) for x in arrays if x is not None)


def _value_known(x: Array) -> bool:
    lib = library(x)
    if lib == "torch":
        torch = sys.modules["torch"]
        plain = type(x) in (torch.Tensor, torch.nn.Parameter) and x.device.type == "cpu"
        return plain and not torch_watched()
    if lib == "jax":
        return not isinstance(x, sys.modules["jax"].core.Tracer)
    return lib in {"numpy", "strict", "tape"}


def torch_watched() -> bool:
    """Whether torch.func or a dispatch mode (fake tensors, make_fx) looks at every operation."""
    private = sys.modules["torch"]._C
    return (
        private._functorch.peek_interpreter_stack() is not None
        or private._len_torch_dispatch_stack() > 0
    )


def device(x: Array) -> Any:
    """Where `x` lives, in the words of its library."""
    return x.device if library(x) == "torch" else array_api_compat.device(x)


# -- dtypes ------------------------------------------------------------------------------------


_dtype_names: dict[tuple, str] = {}


def dtype_name(x: Array) -> str:
    """Name of the dtype of `x` ("float32"), the same word for every library."""
    dtype = x.dtype
    if torch_compiling():
        return str(dtype).rpartition(".")[2]
    key = (type(dtype), dtype)  # dtypes of two libraries may hash alike and warn when compared
    name = _dtype_names.get(key)
    if name is None:
        name = getattr(dtype, "name", None)
        if not isinstance(name, str):
            name = str(dtype).rpartition(".")[2]
        _dtype_names[key] = name
    return name


def is_floating(x: Array) -> bool:
    """Whether `x` holds real floating-point numbers (halves of any library among them)."""
    return dtype_name(x) in _RANK


def is_complex(x: Array) -> bool:
    return dtype_name(x) in _COMPLEX


def is_integer(x: Array) -> bool:
    return dtype_name(x).lstrip("u").startswith("int")


def is_bool(x: Array) -> bool:
    return dtype_name(x) == "bool"


def float_dtype(xp: Any, arrays: Iterable[Array]) -> Any:
    """Real floating dtype that `arrays` promote to; the default one if all are integers."""
    best, best_rank = None, 0
    names = set()
    for x in arrays:
        name = dtype_name(x)
        rank = _RANK.get(name, 0)
        if rank:
            names.add(name)
        if rank > best_rank:
            best, best_rank = x.dtype, rank
    if best is None:
        return default_float(xp)
    return xp.float32 if best_rank == 1 and len(names) > 1 else best


def default_float(xp: Any) -> Any:
    """The floating dtype that the library gives to an unqualified 1.0."""
    if torch_compiling():
        return sys.modules["torch"].get_default_dtype()
    return xp.__array_namespace_info__().default_dtypes()["real floating"]


def promote(xp: Any, function: str, **arrays: Array | None) -> list[Array]:
    """The arrays in their common real floating dtype; None and Python numbers stay as they are."""
    given = {name: x for name, x in arrays.items() if x is not None and not is_scalar(x)}
    names = {dtype_name(x) for x in given.values()}
    if len(names) == 1 and not names.isdisjoint(_RANK):
        return list(arrays.values())
    for name, x in given.items():
        if not _is_number(x):
            raise TypeError(
                f"{function}: {name} has dtype {dtype_name(x)}; "
                "a real floating or integer dtype fits"
            )
    dtype = float_dtype(xp, given.values())
    return [cast(xp, x, dtype) if name in given else x for name, x in arrays.items()]


def _is_number(x: Array) -> bool:
    return is_floating(x) or is_integer(x) or is_bool(x)


def cast(xp: Any, x: Array, dtype: Any) -> Array:
    """`x` in `dtype`, itself when it has it already."""
    return x if x.dtype == dtype else xp.astype(x, dtype)


def is_half(x: Array) -> bool:
    return dtype_name(x) in HALVES


def widen(xp: Any, x: Array | None) -> Array:
    """`x` in float32 when it is a half type, so that sums accumulate in float32; else `x`."""
    return x if x is None or not is_half(x) else xp.astype(x, xp.float32)


def arange(xp: Any, n: int, like: Array, dtype: Any = None) -> Array:
    """0 .. n-1 on the device of `like`, int64 (int32 for JAX, which has no int64 by default)."""
    if dtype is None:
        dtype = xp.int32 if library(like) == "jax" else xp.int64
    return xp.arange(n, dtype=dtype, device=device(like))


def as_index(xp: Any, x: Array) -> Array:
    """Integers in a signed dtype wide enough to be compared with any size: 255 must stay 255."""
    if dtype_name(x) in ("int32", "int64"):
        return x
    return xp.astype(x, xp.int32 if library(x) == "jax" else xp.int64)


def required(function: str, **arrays: Array | None) -> None:
    """Complain about arguments that must be arrays and are None or a Python number."""
    for name, x in arrays.items():
        if x is None or is_scalar(x):
            raise TypeError(f"{function}: {name} is {x!r}; an array fits")


def accumulator(xp: Any, x: Array) -> Any:
    """The dtype that sums over `x` accumulate in: float32 for half types, else its own."""
    return xp.float32 if is_half(x) else x.dtype


def cheap_values(x: Array) -> bool:
    """Whether a value costs nothing to read: known, and in the memory of the processor."""
    if library(x) == "torch":
        return values_known(x)
    return library(x) in ("numpy", "tape")


def take(xp: Any, table: Array, index: Array) -> Array:
    """``table[index]`` for a 1-D table and integers of any shape."""
    if library(index) == "dask":  # has no take with a lazy index
        hot = index[..., None] == arange(xp, table.shape[0], index, dtype=index.dtype)
        return xp.sum(xp.where(hot, table, xp.zeros_like(table)), axis=-1)
    return xp.reshape(xp.take(table, xp.reshape(index, (-1,)), axis=0), index.shape)


def iterate(
    body: Callable[..., tuple[Array, ...]], steps: int, state: tuple[Array, ...]
) -> tuple[Array, ...]:
    """`state` after `steps` times ``state = body(*state)``.

    JAX traces one step and loops over it: compiling every step would take it seconds.
    """
    if library(state[0]) == "jax" and not values_known(*state):
        loop = sys.modules["jax"].lax.fori_loop
        return loop(0, steps, lambda _, arrays: tuple(body(*arrays)), state)
    for _ in range(steps):
        state = body(*state)
    return state


def size(shape: Iterable[int]) -> int:
    return math.prod(shape)


# -- axes and masks ----------------------------------------------------------------------------


def axes(function: str, axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """`axis` as a sorted tuple of non-negative ints; a 0-d array may say -1, 0, None or ()."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    rank = max(ndim, 1)
    out = []
    for a in given:
        if not hasattr(a, "__index__") or isinstance(a, bool):
            raise TypeError(f"{function}: axis is {axis!r}; an int, a tuple of ints or None fits")
        a = a.__index__()
        if not -rank <= a < rank:
            raise AxisError(
                f"{function}: axis {a} is out of bounds for an array of {ndim} dimensions"
                + (f"; -{ndim} to {ndim - 1} fit" if ndim else "; -1, 0, None or () fit")
            )
        out.append(a % rank)
    if len(set(out)) < len(out):
        raise ValueError(f"{function}: axis {axis!r} names one axis twice")
    return tuple(sorted(out))


def check_mask(function: str, name: str, mask: Array | None, shape: tuple, what: str) -> None:
    """Complain unless `mask` is boolean and broadcasts against `shape`."""
    if mask is None:
        return
    if is_scalar(mask):
        raise TypeError(f"{function}: {name} is a {type(mask).__name__}; a boolean array fits")
    if not is_bool(mask):
        raise TypeError(
            f"{function}: {name} has dtype {dtype_name(mask)}; a boolean array fits "
            f"(True = takes part), e.g. {name} != 0"
        )
    check_broadcast(function, name, mask, shape, what)


def check_broadcast(function: str, name: str, x: Array, shape: tuple, what: str) -> None:
    """Complain unless `x` broadcasts to `shape` (unknown sizes, as dask has them, pass)."""
    ok = len(x.shape) <= len(shape) and all(
        a == b or a == 1 or _unknown(a) or _unknown(b)
        for a, b in zip(reversed(tuple(x.shape)), reversed(tuple(shape)))
    )
    if not ok:
        raise ValueError(
            f"{function}: {name} has shape {shape_text(x.shape)}, which does not broadcast to the "
            f"shape {shape_text(shape)} of {what}"
        )


def _unknown(n: Any) -> bool:
    return isinstance(n, float) and math.isnan(n)


def shape_text(shape: Iterable) -> str:
    """A shape as Python writes a tuple of ints, whatever the library calls its sizes."""
    sizes = [str(n) for n in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
