"""Compile one kernel, together with the runtime, into a shared library that Python can load."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from anymax._cuda import cache
from anymax._cuda.source import flatten
from anymax._cuda.spec import KernelSpec

HERE = Path(__file__).parent

# -fno-gnu-unique: else two loaded libraries would share one __shared__ array.
# -ffp-contract=fast: the device fuses products and sums too.
KERNEL_FLAGS = [
    "-std=c++20",
    "-O2",
    "-g",
    "-fPIC",
    "-w",
    "-fno-strict-aliasing",
    "-fno-gnu-unique",
    "-march=native",
    "-ffp-contract=fast",
]
# Instrumentation only; ../runtime/hooks.cpp stands in for both sanitizer libraries.
CHECK_FLAGS = ["-fsanitize=thread,undefined", "-fno-sanitize=vptr", "-fsanitize-recover=all"]
RUNTIME_FLAGS = ["-std=c++20", "-O2", "-fPIC", "-w", "-fno-gnu-unique"]


@functools.cache
def why_not() -> str | None:
    """Say why kernels cannot be run on this machine's CPU, or return None if they can."""
    if not sys.platform.startswith("linux"):
        return "the CPU shim for kernels needs Linux"
    if shutil.which("g++") is None:
        return "the CPU shim for kernels needs g++"
    return None


def library(spec: KernelSpec, *, check: bool) -> Path:
    """Build `spec` and return the shared library; results are kept between runs."""
    text = "\n".join((
        '#include "cuda_shim.h"', flatten(spec.source), f"SHIM_EXPORT(kernel, {spec.instance})\n"
    ))  # fmt: skip
    flags = [*KERNEL_FLAGS, *(CHECK_FLAGS if check else ())]
    path = _folder() / f"{cache.key(text, *flags, _own_sources(), _compiler())}.so"
    if path.exists():
        return path
    with tempfile.TemporaryDirectory(dir=_folder()) as place:
        source, object_file = Path(place, "kernel.cpp"), Path(place, "kernel.o")
        source.write_text(text)
        _run([*flags, f"-I{HERE / 'include'}", "-c", str(source), "-o", str(object_file)])
        finished = Path(place, "kernel.so")
        objects = [str(object_file), *map(str, _runtime())]
        _run(["-shared", *objects, "-o", str(finished), "-lpthread"])
        os.replace(finished, path)
    return path


def _runtime() -> list[Path]:
    """Object files of the scheduler and checker, compiled once and without instrumentation."""
    objects = []
    for source in sorted((HERE / "runtime").glob("*.cpp")):
        name = cache.key(source.name, _own_sources(), *RUNTIME_FLAGS, _compiler())
        path = _folder() / f"{name}.o"
        if not path.exists():
            temporary = path.with_suffix(f".{os.getpid()}.o")
            _run([*RUNTIME_FLAGS, "-c", str(source), "-o", str(temporary)])
            os.replace(temporary, path)
        objects.append(path)
    return objects


@functools.cache
def _own_sources() -> str:
    files = sorted(HERE.glob("*/*.h")) + sorted(HERE.glob("*/*.cpp"))
    return "".join(file.read_text() for file in files)


@functools.cache
def _compiler() -> str:
    return subprocess.run(
        ["g++", "--version"], capture_output=True, text=True, check=True
    ).stdout.partition("\n")[0]


@functools.cache
def _folder() -> Path:
    kept = cache.folder()
    if kept is None:
        kept = Path(tempfile.mkdtemp(prefix="anymax"))
    path = kept / "shim"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _run(arguments: list[str]) -> None:
    result = subprocess.run(["g++", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"g++ {' '.join(arguments)}\n{result.stderr[:4000]}")
