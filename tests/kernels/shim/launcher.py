"""The launcher that runs kernels on the CPU, and turns what the checker saw into an exception."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Sequence
from typing import Any

from anymax._cuda.launch import three
from anymax._cuda.spec import KernelSpec

from . import build
from .memory import Arena, as_numpy

ORDERS = {"ascending": 0, "descending": 1, "shuffled": 2}
# As in runtime/checker.h.
REGION_KINDS = {"in": 2, "inout": 3, "out": 4}


class KernelError(AssertionError):
    """A kernel broke a rule of CUDA; the message lists what, where and by which thread."""


class ShimLauncher:
    """Runs kernels on NumPy arrays and CPU tensors; see ``anymax._cuda.launch.Launcher``.

    Parameters
    ----------
    check : bool, default True
        Watch every memory access. Slower by a factor of 2 to 50; blocks run one after another.
    order : {"ascending", "descending", "shuffled"}
        Order in which threads go on after a barrier. Results must not depend on it.
    seed : int
        For the shuffled order.
    threads : int
        Operating system threads that blocks are spread over when not checking.
    exact : bool, default True
        In check mode, demand that every output byte is written exactly once.
    """

    def __init__(
        self,
        *,
        check: bool = True,
        order: str = "ascending",
        seed: int = 0,
        threads: int = 2,
        exact: bool = True,
    ) -> None:
        self.check, self.order, self.seed, self.threads = check, ORDERS[order], seed, threads
        self.exact = exact
        self.launched: list[KernelSpec] = []
        self._libraries: dict[KernelSpec, _Library] = {}

    def launch(
        self,
        spec: KernelSpec,
        grid: Sequence[int],
        block: Sequence[int],
        smem: int,
        args: Sequence[Any],
        stream: Any = None,
    ) -> None:
        """Run `spec` to its end; raises `KernelError` if it breaks a rule."""
        self.launched.append(spec)
        library = self._library(spec)
        arrays = {
            param.name: as_numpy(value)
            for param, value in zip(spec.params, args, strict=True)
            if value is not None and not isinstance(value, (int, float))
        }
        arena = Arena(list(arrays.items()))
        places = {item.name: item.address for item in arena.placed}
        packed = spec.pack([
            places.get(param.name, 0 if value is None else value)
            for param, value in zip(spec.params, args, strict=True)
        ])  # fmt: skip
        library.clear()
        for item in arena.placed if self.check else ():
            role = next(param.role for param in spec.params if param.name == item.name)
            library.add_region(item.low, item.size, REGION_KINDS[role], item.name)
        errors = library.run(
            three(grid), three(block), smem, packed.pointer,
            (int(self.check), self.order, self.seed, self.threads),
        )  # fmt: skip
        outputs = [p.name for p in spec.params if p.role in ("out", "inout") and p.name in arrays]
        arena.write_back(outputs)
        errors = errors or arena.damaged() or self._uncovered(spec, library, arena)
        if errors:
            listed = "\n  ".join(errors[:6])
            raise KernelError(f"{spec.name}: {len(errors)} error(s):\n  {listed}")

    def _library(self, spec: KernelSpec) -> _Library:
        if spec not in self._libraries:
            path = build.library(spec, check=self.check)
            self._libraries[spec] = _Library(path, spec)
        return self._libraries[spec]

    def _uncovered(self, spec: KernelSpec, library: _Library, arena: Arena) -> list[str]:
        if not (self.check and self.exact):
            return []
        roles = {param.name: param.role for param in spec.params}
        found = []
        for item in arena.placed:
            if roles[item.name] != "out" or not item.size:
                continue
            unwritten, rewritten = library.coverage(item.low)
            if unwritten or rewritten:
                found.append(
                    f"coverage of {item.name}: {2 * unwritten} bytes never written, "
                    f"{2 * rewritten} more than once"
                )
        return found


class _Library:
    """One built kernel with the C functions of its runtime."""

    def __init__(self, path: Any, spec: KernelSpec) -> None:
        self.path, self.code = str(path), ctypes.CDLL(str(path))
        self.code.cuda_shim_error.restype = ctypes.c_char_p
        self.code.cuda_shim_base.restype = ctypes.c_void_p
        sizes = (ctypes.c_int * 128)()
        count = self.code.kernel_sizes(sizes)
        declared = [param.size for param in spec.params]
        if list(sizes[:count]) != declared:
            raise KernelError(
                f"{spec.name}: the kernel takes arguments of {list(sizes[:count])} bytes, "
                f"its spec declares {declared}"
            )

    def clear(self) -> None:
        self.code.cuda_shim_clear()

    def add_region(self, address: int, size: int, kind: int, name: str) -> None:
        self.code.cuda_shim_region(
            ctypes.c_void_p(address), ctypes.c_size_t(size), kind, name.encode()
        )

    def run(
        self,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        smem: int,
        packed: int,
        settings: tuple[int, int, int, int],
    ) -> list[str]:
        """Run all blocks and return what went wrong."""
        dims = ctypes.c_uint * 3
        count = self.code.cuda_shim_launch(
            self.code.kernel_call, dims(*grid), dims(*block), smem, ctypes.c_void_p(packed),
            *settings,
        )  # fmt: skip
        found = (self.code.cuda_shim_error(i) for i in range(count))
        return [self._with_place(text.decode()) for text in found if text is not None]

    def coverage(self, address: int) -> tuple[int, int]:
        """How many units of two bytes were never written, and how many more than once."""
        unwritten, rewritten = ctypes.c_size_t(), ctypes.c_size_t()
        self.code.cuda_shim_coverage(
            ctypes.c_void_p(address), ctypes.byref(unwritten), ctypes.byref(rewritten)
        )
        return unwritten.value, rewritten.value

    def _with_place(self, text: str) -> str:
        """Replace a program counter by the lines of the kernel that it belongs to."""
        match = re.search(r"pc=(0x[0-9a-f]+)", text)
        if match is None:
            return text
        offset = int(match[1], 16) - self.code.cuda_shim_base() - 1
        lines = subprocess.run(
            ["addr2line", "-i", "-s", "-e", self.path, hex(offset)],
            capture_output=True, text=True, check=False,
        ).stdout.splitlines()  # fmt: skip
        lines = [re.sub(r" \(discriminator.*", "", line) for line in lines]
        shown = dict.fromkeys(li for li in lines if not li.startswith(("shim_", "??")))
        return text.replace(match[0], "at " + " <- ".join(shown))
