"""Peak memory of one call, measured in a process of its own: ``peak`` asks, ``main`` answers."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pathlib
import subprocess
import sys

_CLEAR = pathlib.Path("/proc/self/clear_refs")
_STATUS = pathlib.Path("/proc/self/status")


def peak(case: str, rival: str, device: str, *, ours: bool, timeout: float = 300) -> float | None:
    """Bytes above what the arguments take, at the worst moment of a call; None if unknown."""
    source = str(pathlib.Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    who = "ours" if ours else "theirs"
    done = subprocess.run(
        [sys.executable, "-m", "anymax._bench.memory", case, rival, device, who],
        capture_output=True, text=True, timeout=timeout, check=False,
        # Freed arrays go back to the system at once: what stays is not taken for what is needed.
        env={**os.environ, "PYTHONPATH": path, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    text = done.stdout.strip().rpartition("\n")[2]
    return float(text) if done.returncode == 0 and text not in ("", "None") else None


def main(name: str, rival: str, device: str, who: str) -> None:
    from anymax._bench.case import load
    from anymax._bench.sides import side

    (case,) = [c for c in load((name,)) if c.name == name]
    run = side(case, rival, device, ours=who == "ours")
    for _ in range(2):
        run()
    print(_on_cuda(run) if device == "cuda" else on_cpu(run))


def on_cpu(run) -> float | None:
    """Bytes that a call takes above what there was, at its worst moment; None if unknown."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _CLEAR.write_text("5")  # forget the peak so far
        before = _kilobytes("VmRSS")
        result = run()
        after = _kilobytes("VmHWM")
    except (OSError, KeyError):
        return None
    del result
    return max(0.0, (after - before) * 1024.0)


def _kilobytes(field: str) -> float:
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return float(lines[field].split()[0])


def _on_cuda(run) -> float:
    import torch

    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    result = run()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated()
    del result
    return float(peak - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
