"""Compile the kernels now and keep them on disk, so that no later call waits for the compiler."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from anymax import _backends


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``warm``."""
    parser.add_argument(
        "--dtype",
        nargs="+",
        default=["float32", "float64"],
        choices=["float16", "bfloat16", "float32", "float64"],
        help="dtypes of the CPU kernels (default: float32 float64)",
    )
    parser.add_argument(
        "--arch",
        nargs="*",
        metavar="SM",
        help="CUDA architectures such as sm_90a, a device being there or not "
        "(default: that of the device; none: no CUDA)",
    )


def run(args: argparse.Namespace) -> int:
    """Compile what this machine can compile; 1 if there was nothing."""
    did = _numba(args.dtype)
    did += _cuda(args.arch)
    if not did:
        print("anymax warm: nothing to compile", file=sys.stderr)
    return 0 if did else 1


def _numba(dtypes: Sequence[str]) -> int:
    reason = _backends.missing("numba")
    if reason:
        print(f"numba: {reason}")
        return 0
    from anymax._cpu import jit

    return _report("numba", jit.warm(dtypes))


def _cuda(archs: Sequence[str] | None) -> int:
    from anymax._cuda import nvrtc

    try:
        nvrtc.library()
    except OSError as error:
        print(f"CUDA: {error}")
        return 0
    if archs is None:
        archs = _device_archs()
        if not archs:
            print("CUDA: no device is available; --arch sm_90a compiles for one anyway")
    return sum(_report(f"CUDA {arch}", _cubins(arch)) for arch in archs)


def _device_archs() -> list[str]:
    if _backends.missing("cuda"):
        return []
    import cupy

    from anymax._cuda import launch, nvrtc

    found = range(cupy.cuda.runtime.getDeviceCount())
    return sorted({nvrtc.target(launch.compute_capability(i)) for i in found})


def _cubins(arch: str) -> Iterator[tuple[str, float]]:
    """Compile kernel by kernel, as first launches do: so the cache has what they look for."""
    from anymax._cuda import nvrtc, spec
    from anymax._cuda.source import flatten

    capability = int("".join(c for c in arch if c.isdigit()))
    for kernel in spec.registered():
        if kernel.min_arch <= capability:
            start = time.perf_counter()
            nvrtc.compile_source(flatten(kernel.source), [kernel.instance], arch)
            yield kernel.name, time.perf_counter() - start


def _report(title: str, steps: Iterable[tuple[str, float]]) -> int:
    count, total = 0, 0.0
    for name, seconds in steps:
        count, total = count + 1, total + seconds
        print(f"  {seconds:7.2f} s  {name}", flush=True)
    print(f"{title}: {count} kernels in {total:.1f} s")
    return count
