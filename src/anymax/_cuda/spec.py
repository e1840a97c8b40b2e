"""What a CUDA kernel is, apart from its code: the registry that launches and tests go through."""

from __future__ import annotations

import ctypes
import importlib
import pkgutil
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

Role = Literal["in", "out", "inout", "value"]

# C scalar type -> code of the struct module (native size and alignment, as in the kernel).
_CODES = {"int": "i", "unsigned": "I", "long long": "q", "float": "f", "double": "d"}


@dataclass(frozen=True)
class Param:
    """One kernel parameter: its C type, its name, and who writes what it points to."""

    ctype: str
    name: str
    role: Role

    @property
    def code(self) -> str:
        """Code of the struct module for the parameter itself (a pointer or a scalar)."""
        return "P" if self.role != "value" else _CODES[self.ctype]

    @property
    def size(self) -> int:
        """Bytes that the parameter takes."""
        return struct.calcsize(self.code)


def parse_signature(text: str, inout: Iterable[str] = ()) -> tuple[Param, ...]:
    """Turn ``"const float* x, float* y, long long n"`` into parameters.

    Pointers to const are inputs, others are outputs (every byte written before it is read) unless
    named in `inout` (accumulated into, so the caller initialises them).
    """
    params = []
    for piece in text.split(","):
        ctype, _, name = piece.strip().rpartition(" ")
        role: Role = "value"
        if ctype.endswith("*"):
            role = "in" if ctype.startswith("const ") else "inout" if name in inout else "out"
        elif ctype not in _CODES:
            raise ValueError(f"no packing rule for parameter type {ctype!r} of {name!r}")
        params.append(Param(ctype, name, role))
    return tuple(params)


class PackedArguments(NamedTuple):
    """Arguments laid out as cuLaunchKernel wants them: an array of pointers into one buffer."""

    buffer: Any
    pointer: int  # to the array of pointers; valid while `buffer` lives


@dataclass(frozen=True)
class KernelSpec:
    """One compiled kernel: a template instance with its launch facts.

    Parameters
    ----------
    name : str
        Unique readable name, such as ``"softmax_forward/float32/warp"``.
    source : Path
        The ``.cu`` file.
    instance : str
        The expression that names the kernel, template arguments included.
    params : tuple of Param
        In the order of the C++ declaration.
    block : int
        Threads per block (the kernel's launch bound).
    shared : int, default 0
        Dynamic shared memory in bytes; a launch may ask for another amount.
    min_arch : int, default 80
        Smallest compute capability, as 10 * major + minor.
    """

    name: str
    source: Path
    instance: str
    params: tuple[Param, ...]
    block: int
    shared: int = 0
    min_arch: int = 80

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Byte offset of each parameter in a native C struct of all of them."""
        codes = "".join(p.code for p in self.params)
        ends = [struct.calcsize("@" + codes[: i + 1]) for i in range(len(codes))]
        return tuple(end - struct.calcsize(c) for end, c in zip(ends, codes, strict=True))

    @cached_property
    def _layout(self) -> tuple[struct.Struct, int]:
        """The parameters followed by one pointer to each, and where the pointers begin."""
        codes = "@" + "".join(p.code for p in self.params) + "0P"
        return struct.Struct(f"{codes}{len(self.params)}P"), struct.calcsize(codes)

    def pack(self, values: Sequence[int | float]) -> PackedArguments:
        """Lay out one address or number per parameter; the kernel copies them at launch."""
        if len(values) != len(self.params):
            raise TypeError(f"{self.name}: {len(self.params)} parameters, {len(values)} values")
        layout, table = self._layout
        buffer = ctypes.create_string_buffer(layout.size)
        base = ctypes.addressof(buffer)
        layout.pack_into(buffer, 0, *values, *[base + offset for offset in self.offsets])
        return PackedArguments(buffer, base + table)


_registry: dict[str, KernelSpec] = {}


def register(spec: KernelSpec) -> KernelSpec:
    """Enter `spec` in the registry; names are unique."""
    if _registry.setdefault(spec.name, spec) != spec:
        raise ValueError(f"two kernels are called {spec.name!r}")
    return spec


def registered() -> tuple[KernelSpec, ...]:
    """Every kernel of the package; imports all modules that define some."""
    package = importlib.import_module(__package__ or "anymax._cuda")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(_registry.values())
