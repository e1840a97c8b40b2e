"""How busy the machine is with others' work, as ratios measured on a busy machine are noise."""

from __future__ import annotations

import os
import pathlib
import time

_STAT = pathlib.Path("/proc/stat")


def average() -> float:
    """Processes that wanted to run over the last minute; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Watch:
    """The cores that other processes kept busy inside a ``with``: `foreign`, 0 where unknown."""

    foreign = 0.0

    def __enter__(self) -> Watch:
        self._start = _busy(), _own(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        busy, own, start = self._start
        elapsed = max(time.perf_counter() - start, 1e-9)
        self.foreign = max(0.0, ((_busy() - busy) - (_own() - own)) / elapsed)


def _own() -> float:
    """Seconds of processor time of this process and the children it waited for."""
    return sum(os.times()[:4])


def _busy() -> float:
    """Seconds that all cores together were not idle; our own time where the system is silent."""
    if not _STAT.is_file():
        return _own()
    user, nice, system, _, _, irq, soft, *_ = map(int, _STAT.read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
