"""Compile CUDA source to machine code for one exact architecture, without a driver or a device."""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cache

# No fast-math and no flush to zero: NaN, infinities and subnormals are part of the contract.
# Templated lambdas have no place for __device__, hence the default execution space.
OPTIONS = ("--std=c++20", "--device-as-default-execution-space", "--ptxas-options=-v")
# For the compile gate: any spill is an error. (NVRTC has no such switch for warnings of the front
# end: look for them in the log.)
STRICT = ("--ptxas-options=--warn-on-spills", "--ptxas-options=--warning-as-error")


class CompileError(RuntimeError):
    """NVRTC refused the source; the message is its log."""


@dataclass(frozen=True)
class Binary:
    """Machine code (or PTX where NVRTC is older than the device) and what the compiler said."""

    image: bytes
    names: dict[str, str]
    log: str


@dataclass(frozen=True)
class Resources:
    """What one kernel uses, in bytes except for the registers per thread."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int


@functools.cache
def library() -> ctypes.CDLL:
    """Load NVRTC; raises OSError with the reason when there is none."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib
    except ImportError:
        pass
    else:
        try:
            path = Path(str(load_nvidia_dynamic_lib("nvrtc").abs_path))
        except Exception as error:  # its exception types differ between versions
            raise OSError(f"NVRTC was not found: {error}") from error
        # NVRTC opens this at the first compilation, and fails if two threads get there together.
        for builtins in path.parent.glob("libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(builtins))
        return ctypes.CDLL(str(path))
    for name in ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "nvrtc64_130_0.dll"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError("NVRTC was not found; install nvidia-cuda-nvrtc and cuda-pathfinder")


@functools.cache
def version() -> tuple[int, int]:
    """Return (major, minor) of the loaded NVRTC."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


@functools.cache
def supported_archs() -> tuple[int, ...]:
    """Compute capabilities (10 * major + minor) that the loaded NVRTC has code for."""
    count = ctypes.c_int()
    _check(library().nvrtcGetNumSupportedArchs(ctypes.byref(count)))
    archs = (ctypes.c_int * count.value)()
    _check(library().nvrtcGetSupportedArchs(archs))
    return tuple(archs)


def target(capability: int) -> str:
    """Return the architecture to compile for on a device of this compute capability.

    Hopper's own instructions exist only under ``sm_90a``; that code runs on 9.0 and nothing else,
    which is what is wanted here. A device newer than NVRTC gets PTX, which its driver compiles.
    """
    if capability in supported_archs():
        return "sm_90a" if capability == 90 else f"sm_{capability}"
    older = [arch for arch in supported_archs() if arch < capability]
    if not older:
        raise CompileError(f"NVRTC {version()} has no code for compute capability {capability}")
    return f"compute_{max(older)}"


def compile_source(
    text: str, instances: Sequence[str], arch: str, options: Sequence[str] = OPTIONS
) -> Binary:
    """Compile the named template instances of `text`; results are kept on disk.

    Parameters
    ----------
    text : str
        Flattened source.
    instances : sequence of str
        Expressions that name kernels, such as ``"softmax<float, 4>"``.
    arch : str
        ``"sm_90a"`` and the like for machine code, ``"compute_90"`` for PTX.
    options : sequence of str
        Compiler options besides the architecture.
    """
    key = cache.key(text, *instances, arch, *options, str(version()))
    stored = cache.load(key)
    if stored is not None:
        return Binary(*stored)
    binary = _compile(text, instances, [f"--gpu-architecture={arch}", *options])
    cache.store(key, (binary.image, binary.names, binary.log))
    return binary


def resources(log: str) -> dict[str, Resources]:
    """Read the assembler's report: mangled kernel name to what it uses."""
    found = re.finditer(
        r"Compiling entry function '(\S+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
        r"(\d+) bytes spill loads.*?Used (\d+) registers",
        log,
        re.DOTALL,
    )
    return {
        m[1]: Resources(int(m[5]), stack=int(m[2]), spill_stores=int(m[3]), spill_loads=int(m[4]))
        for m in found
    }


def _compile(text: str, instances: Sequence[str], options: Sequence[str]) -> Binary:
    nvrtc, program = library(), ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), text.encode(), b"anymax.cu", 0, None, None
    ))  # fmt: skip
    try:
        for name in instances:
            _check(nvrtc.nvrtcAddNameExpression(program, name.encode()))
        encoded = [option.encode() for option in options]
        array = (ctypes.c_char_p * len(encoded))(*encoded)
        status = nvrtc.nvrtcCompileProgram(program, len(encoded), array)
        log = _read(program, "ProgramLog").rstrip(b"\0").decode()
        if status != 0:
            raise CompileError(_without_statistics(log))
        names = {name: _lowered(program, name) for name in instances}
        is_ptx = any(option.startswith("--gpu-architecture=compute") for option in options)
        return Binary(_read(program, "PTX" if is_ptx else "CUBIN"), names, log)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _without_statistics(log: str) -> str:
    return "\n".join(line for line in log.splitlines() if not line.startswith("ptxas"))


def _lowered(program: ctypes.c_void_p, instance: str) -> str:
    name = ctypes.c_char_p()
    _check(library().nvrtcGetLoweredName(program, instance.encode(), ctypes.byref(name)))
    return (name.value or b"").decode()


def _read(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(library(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(getattr(library(), f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _check(status: int) -> None:
    if status != 0:
        describe = library().nvrtcGetErrorString
        describe.restype = ctypes.c_char_p
        raise CompileError(f"NVRTC: {describe(status).decode()}")
