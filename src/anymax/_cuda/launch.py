"""Start kernels: the protocol, and the launcher for real devices (CuPy arrays, torch tensors).

Launch code (grids, strides, argument order) talks to `Launcher` only, so that the tests can run all
of it on NumPy arrays. No launch synchronises, and after a kernel's first use on a device nothing is
allocated or loaded, so launches may be captured into a CUDA graph.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from . import arrays, nvrtc
from .source import flatten
from .spec import KernelSpec

# CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES; above 48 KiB a kernel has to ask.
_MAX_SHARED_ATTRIBUTE, _SHARED_WITHOUT_ASKING = 8, 48 * 1024

Dims = Sequence[int]
_NUMBERS = (int, float, bool, type(None))


class Launcher(Protocol):
    """Anything that can run a kernel."""

    def launch(
        self,
        spec: KernelSpec,
        grid: Dims,
        block: Dims,
        smem: int,
        args: Sequence[Any],
        stream: Any = None,
    ) -> None:
        """Run `spec` with one array, number or None (a null pointer) per parameter.

        `grid` and `block` have one to three numbers, `smem` is the dynamic shared memory in bytes.
        Without a `stream` the current one of the arrays' library is used.
        """


def address_of(value: Any) -> int | float:
    """Turn an argument into what is packed: arrays into addresses, None into a null pointer."""
    if value is None:
        return 0
    return value if type(value) in _NUMBERS else arrays.address(value)


def three(dims: Dims) -> tuple[int, int, int]:
    """Fill a grid or block up with ones."""
    x, y, z = (*dims, 1, 1)[:3]
    return x, y, z


class CupyLauncher:
    """Loads cubins with CuPy's driver binding and launches them; one plan per kernel and device.

    Parameters
    ----------
    driver : module, optional
        ``cupy_backends.cuda.api.driver``, or something with its functions in tests.
    """

    def __init__(self, driver: Any = None) -> None:
        self._driver = driver
        self._functions: dict[tuple[str, int], int] = {}
        self._shared: dict[int, int] = {}
        self._lock = threading.Lock()

    def launch(
        self,
        spec: KernelSpec,
        grid: Dims,
        block: Dims,
        smem: int,
        args: Sequence[Any],
        stream: Any = None,
    ) -> None:
        """See `Launcher.launch`; `stream` is a handle (an integer)."""
        lead = next(arg for arg in args if type(arg) not in _NUMBERS)
        device = device_of(lead)
        with _OnDevice(device):
            function = self._function(spec, device)
            self._allow_shared(function, smem)
            packed = spec.pack([address_of(arg) for arg in args])
            handle = stream_of(lead) if stream is None else stream
            self.driver.launchKernel(
                function, *three(grid), *three(block), smem, handle, packed.pointer, 0
            )

    @property
    def driver(self) -> Any:
        """CuPy's binding of the CUDA driver, imported when first needed."""
        if self._driver is None:
            from cupy_backends.cuda.api import driver

            self._driver = driver
        return self._driver

    def _function(self, spec: KernelSpec, device: int) -> int:
        """Handle of the loaded kernel; compiles and loads it once per device."""
        found = self._functions.get((spec.name, device))
        if found is not None:
            return found
        with self._lock:
            arch = nvrtc.target(compute_capability(device))
            binary = nvrtc.compile_source(flatten(spec.source), [spec.instance], arch)
            module = self.driver.moduleLoadData(binary.image)
            function = self.driver.moduleGetFunction(module, binary.names[spec.instance])
            return self._functions.setdefault((spec.name, device), int(function))

    def _allow_shared(self, function: int, smem: int) -> None:
        """Ask the driver for more dynamic shared memory than any kernel may have unasked."""
        if smem <= self._shared.get(function, _SHARED_WITHOUT_ASKING):
            return
        self.driver.funcSetAttribute(function, _MAX_SHARED_ATTRIBUTE, smem)
        self._shared[function] = smem


def device_of(x: Any) -> int:
    """Number of the device that `x` lives on."""
    index = x.device.index if arrays.is_torch(x) else getattr(x.device, "id", None)
    if index is None:
        raise TypeError(f"CUDA kernels take arrays on a CUDA device, got {type(x)} on {x.device}")
    return int(index)


def stream_of(x: Any) -> int:
    """Handle of the stream that `x`'s library would use now."""
    if arrays.is_torch(x):
        return int(sys.modules["torch"].cuda.current_stream(x.device).cuda_stream)
    return int(sys.modules["cupy"].cuda.get_current_stream().ptr)


class _OnDevice:
    """Make a device current, which also gives this thread the context that driver calls need."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None:
        from cupy.cuda import runtime

        self.previous = runtime.getDevice()
        runtime.setDevice(self.number)

    def __exit__(self, *error: object) -> None:
        if self.previous != self.number:
            from cupy.cuda import runtime

            runtime.setDevice(self.previous)


@functools.cache
def compute_capability(device: int) -> int:
    """Return 10 * major + minor of a device."""
    import cupy

    return int(cupy.cuda.Device(device).compute_capability)


@functools.cache
def default() -> CupyLauncher:
    """Return the launcher that kernels use when they are given none."""
    return CupyLauncher()


@functools.cache
def why_not() -> str | None:
    """Say in one sentence why no kernel can run here, or return None if they can."""
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed"
    try:
        if not cupy.cuda.is_available():
            return "CuPy finds no CUDA device"
        nvrtc.library()
    except Exception as error:  # a broken driver raises types of its own
        return f"CUDA does not work here: {error}"
    return None
