"""Functions compiled by numba: one set of flags, exact types, compiled on first use."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numba
import numpy as np
from numba import extending, types
from numba.core import cgutils

from anymax._cpu.cache import KeyedCache, cache_wanted, warn_uncached

__all__ = ["Kernel", "bare", "const", "frozen", "jit", "keep", "kernels", "warm"]

# Without nnan and ninf: masks are made of infinities, and NaN has to come out where it went in.
FLAGS = ("contract", "arcp", "nsz", "reassoc")

intrinsic: Any = extending.intrinsic
_kernels: dict[str, Kernel] = {}


def const(dtype: Any, ndim: int) -> Any:
    """Type of a read-only C-contiguous array; writable ones pass too, compiled once for both."""
    return types.Array(dtype, ndim, "C", readonly=True)


def jit(
    function: Callable[..., Any] | None = None,
    *,
    args: Callable[[Any], tuple[Any, ...]] | None = None,
    reassoc: bool = True,
    contract: bool = True,
    cache: bool = True,
    half: bool = False,
    **options: Any,
) -> Any:
    """Compile a function to machine code that runs without the GIL.

    Parameters
    ----------
    function : callable
        What to compile; left out, a decorator comes back.
    args : callable, optional
        From the numba type of the first argument's cells to the tuple of argument types. With it
        the result is a `Kernel`, which `warm` finds. Without it numba infers types call by call:
        right for the pieces that kernels are made of.
    reassoc : bool
        Whether sums may be reordered. Needed for vector sums, wrong for compensated arithmetic.
    contract : bool
        Whether a product and a sum may become one fused operation. Wrong where a rounded product
        must cancel: the largest scaled logit less itself has to be 0.
    cache : bool
        Whether to keep machine code on disk. Pieces that are only inlined need no file of their
        own.
    half : bool
        Whether the cells of the first argument are the bits of float16 (int16) and bfloat16
        (uint16), not float32 and float64.
    **options
        More options of numba.njit.
    """
    if function is None:
        return functools.partial(
            jit,
            args=args,
            reassoc=reassoc,
            contract=contract,
            cache=cache,
            half=half,
            **options,
        )
    dropped = {"reassoc": not reassoc, "contract": not contract}
    flags = {flag for flag in FLAGS if not dropped.get(flag)}
    settings = {"nogil": True, "error_model": "numpy", "fastmath": flags, **options}
    if args is None:
        return _dispatcher(function, settings, cache=cache)
    return Kernel(function, args, settings, cache=cache, half=half)


class Kernel:
    """An entry point: compiled for a dtype when first asked for it, for exactly the types that
    `args` names.

    `kernel(*values)` checks types and picks the version by the dtype of the first argument.
    `kernel.code(dtype)` is the bare machine code, 0.1 us cheaper and unchecked: for callers that
    have looked at dtype and layout themselves.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: Callable[[Any], tuple[Any, ...]],
        settings: dict[str, Any],
        *,
        cache: bool,
        half: bool,
    ) -> None:
        self.function, self.args, self.settings = function, args, settings
        self.cache, self.half = cache, half
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self.versions: dict[np.dtype[Any], Any] = {}
        self.codes: dict[np.dtype[Any], Callable[..., Any]] = {}
        functools.update_wrapper(self, function)
        _kernels[self.name] = self

    def __call__(self, *values: Any) -> Any:
        dtype = values[0].dtype
        return (self.versions.get(dtype) or self.compile(dtype))(*values)

    def code(self, dtype: np.dtype[Any]) -> Callable[..., Any]:
        return self.codes.get(dtype) or self._code(dtype)

    def _code(self, dtype: np.dtype[Any]) -> Callable[..., Any]:
        version = self.versions.get(dtype) or self.compile(dtype)
        return self.codes.setdefault(dtype, next(iter(version.overloads.values())).entry_point)

    def takes(self, dtype: np.dtype[Any]) -> bool:
        return self.half == (dtype.itemsize == 2)

    def compile(self, dtype: np.dtype[Any]) -> Any:
        """Compile, or load from the cache; one dispatcher a dtype, so that no call can add a
        version by accident."""
        version = _dispatcher(self.function, self.settings, cache=self.cache)
        version.compile(self.args(numba.from_dtype(dtype)))
        version.disable_compile()  # from here on a writable array may pass for a read-only one
        return self.versions.setdefault(dtype, version)


@intrinsic
def bare(typingctx: Any, array: Any) -> Any:
    """The same array without its owner: slices of it count no references.

    Counting is atomic, and costs more than the work on a short row. The owner must outlive every
    view, which holds for arguments; scratch arrays need a `keep` after the last use.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        view = context.make_array(array)(context, builder, values[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), generate


@intrinsic
def frozen(typingctx: Any, array: Any) -> Any:
    """The same as `bare`, of the read-only type that `const` names."""
    kind = types.Array(array.dtype, array.ndim, array.layout, readonly=True)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        view = context.make_array(array)(context, builder, values[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return kind(array), generate


@intrinsic
def keep(typingctx: Any, array: Any) -> Any:
    """Nothing, but the array lives until here."""
    return types.none(array), lambda context, *_: context.get_dummy_value()


def kernels() -> dict[str, Kernel]:
    """Every entry point of this folder, by "module.function"."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    return dict(sorted(_kernels.items()))


def warm(dtypes: Iterable[str] = ("float32", "float64")) -> Iterator[tuple[str, float]]:
    """Compile, or load from the cache, every entry point; gives names and the seconds it took.

    Dtypes are "float32", "float64", "float16", "bfloat16"; the last two are stored as bits.
    """
    stored = {"float16": np.dtype(np.int16), "bfloat16": np.dtype(np.uint16)}
    for name in dtypes:
        dtype = stored.get(name) or np.dtype(name)
        for label, kernel in kernels().items():
            if kernel.takes(dtype):
                start = time.perf_counter()
                kernel.code(dtype)
                yield f"{label} {name}", time.perf_counter() - start


def _dispatcher(function: Callable[..., Any], settings: dict[str, Any], *, cache: bool) -> Any:
    dispatcher = numba.njit(**settings)(function)
    if cache and cache_wanted():
        try:
            dispatcher._cache = KeyedCache(function, settings)
        except (
            RuntimeError,
            OSError,
        ) as error:  # no folder can be written: read-only install and no home
            warn_uncached(str(error))
    return dispatcher
