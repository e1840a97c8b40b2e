"""Registers per thread of every kernel and architecture: measured, and the most that is allowed.

The ceilings are checked in, a table a source file, so that a change that makes a kernel heavier is
seen. After a deliberate one, ``python tests/kernels/registers.py row_softmax`` (with ``src`` and
``tests`` on the path; no name means all files) writes them anew.
"""

from __future__ import annotations

import csv
import functools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from anymax._cuda import nvrtc
from anymax._cuda.source import flatten
from anymax._cuda.spec import KernelSpec, registered

TABLES = Path(__file__).with_name("registers")
ARCHS = {"sm_80": 80, "sm_90a": 90, "sm_100": 100, "sm_120": 120}
# Register allocation moves with the compiler; the gate holds for this one.
PINNED_NVRTC = (13, 0)

Key = tuple[str, str]  # kernel, architecture


def sources() -> list[Path]:
    """Every file that holds kernels."""
    return sorted({spec.source for spec in registered()})


@functools.cache
def compile_strictly(source: Path) -> dict[Key, tuple[KernelSpec, nvrtc.Resources, str]]:
    """Compile all kernels of a file for every architecture, two compilers at a time."""
    specs = [spec for spec in registered() if spec.source == source]
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(functools.partial(_compile, specs), ARCHS)
    return {key: value for part in parts for key, value in part.items()}


def _compile(
    specs: list[KernelSpec], arch: str
) -> dict[Key, tuple[KernelSpec, nvrtc.Resources, str]]:
    fitting = [spec for spec in specs if spec.min_arch <= ARCHS[arch]]
    instances = list(dict.fromkeys(spec.instance for spec in fitting))
    binary = nvrtc.compile_source(
        flatten(specs[0].source), instances, arch, (*nvrtc.OPTIONS, *nvrtc.STRICT)
    )
    used = nvrtc.resources(binary.log)
    return {(s.name, arch): (s, used[binary.names[s.instance]], binary.log) for s in fitting}


def ceilings(source: Path) -> dict[Key, int]:
    """Read the table of one file."""
    with (TABLES / f"{source.stem}.csv").open(newline="") as file:
        return {
            (row["kernel"], arch): int(row[arch])
            for row in csv.DictReader(file)
            for arch in ARCHS
            if row[arch]
        }


def write(source: Path) -> None:
    """Write the table of one file: what is measured, rounded up to a multiple of 8."""
    measured = {key: used.registers for key, (_, used, _) in compile_strictly(source).items()}
    TABLES.mkdir(exist_ok=True)
    with (TABLES / f"{source.stem}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kernel", *ARCHS])
        for kernel in sorted({kernel for kernel, _ in measured}):
            counts = [measured.get((kernel, arch)) for arch in ARCHS]
            writer.writerow([kernel, *("" if n is None else -(-n // 8) * 8 for n in counts)])


if __name__ == "__main__":
    for each in sources():
        if each.stem in sys.argv[1:] or not sys.argv[1:]:
            write(each)
