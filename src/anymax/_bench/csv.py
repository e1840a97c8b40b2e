"""Results as tidy CSV: a line per contest, with the machine and the versions it ran on."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import functools
import importlib.metadata
import pathlib
import platform
import subprocess
from collections.abc import Iterable

from anymax._bench import load
from anymax._bench.row import FIELDS, Row

LIBRARIES = ("numpy", "numba", "torch", "jax", "scipy", "cupy")
MACHINE = ("date", "commit", "processor", "cores", "load", "python", "anymax", *LIBRARIES)


def write(path: str, rows: Iterable[Row], machine: dict[str, str]) -> None:
    """Append the rows to a file, with a header if it is new."""
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, (*FIELDS, *MACHINE))
        if new:
            writer.writeheader()
        for row in rows:
            writer.writerow({k: _text(v) for k, v in dataclasses.asdict(row).items()} | machine)


def _text(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else value


def machine() -> dict[str, str]:
    """The facts that are the same for every row of a run."""
    from anymax import __version__

    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    facts = {
        "date": now,
        "commit": commit(),
        "processor": processor(),
        "cores": str(load.cores()),
        "load": f"{load.average():.2f}",
        "python": platform.python_version(),
        "anymax": __version__,
    }
    return facts | {name: version(name) for name in LIBRARIES}


def version(library: str) -> str:
    """The version of a library under any of its distributions' names; empty if absent."""
    for name in _distributions().get(library, ()):
        return importlib.metadata.version(name)
    return ""


_distributions = functools.cache(importlib.metadata.packages_distributions)


@functools.cache
def commit() -> str:
    """The repository's commit, "+" behind it when files were changed; empty outside a checkout."""
    root = pathlib.Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return ""
    try:
        said = [
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ("rev-parse", "--short", "HEAD"),
                ("status", "--porcelain", "-uno", "src"),
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said[0] + ("+" if said[1] else "")


@functools.cache
def processor() -> str:
    """The model of the processor, and the GPU's behind it if torch sees one."""
    info = pathlib.Path("/proc/cpuinfo")
    if info.is_file():
        for text in info.read_text().splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    return platform.processor() or platform.machine()
