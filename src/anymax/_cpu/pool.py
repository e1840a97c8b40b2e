"""A pool of threads for kernels that release the GIL.

Small and our own because OpenMP kills forked children and numba's workqueue aborts on concurrent
calls. Work comes as numbered parts whose size the kernel fixes from the shape alone; which thread
takes which part never changes a result.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["num_threads", "run", "set_num_threads", "spread"]


class _Job:
    """One call of `run`: hands out part numbers, counts the finished ones, keeps the first
    exception."""

    def __init__(self, task: Callable[[int], object], parts: int) -> None:
        self.task, self.parts = task, parts
        self.taken = self.finished = 0
        self.error: BaseException | None = None
        self.lock = threading.Lock()
        self.done = threading.Lock()
        self.done.acquire()

    def work(self) -> None:
        """Run parts until none is left."""
        finished = 0
        while True:
            with self.lock:
                self.finished += finished
                if self.finished == self.parts and finished:
                    self.done.release()
                part = self.taken
                if part == self.parts:
                    return
                self.taken += 1
            try:
                if self.error is None:
                    self.task(part)
            except BaseException as error:  # goes to the caller of run, whatever it is
                self.error = self.error or error
            finished = 1


class _Inside(threading.local):
    """Whether this thread is running a part, so that nested calls run in place."""

    active = False


_LEAST = 65_536  # cells worth a part of their own: 30 us, several times what handing it over takes
_MOST = 1_048_576  # cells a part may have
_PARTS = 16  # a part takes the GIL for a few us: more of them cost more than they even out

_inside = _Inside()
_jobs: SimpleQueue[_Job] = SimpleQueue()
_lock = threading.Lock()
_workers = 0
_wanted: int | None = None


def run(task: Callable[[int], object], parts: int) -> None:
    """Call `task(i)` once for every i in range(parts), on all threads, and return when all are
    done.

    The calling thread works too. Nested calls run serially. After an exception the parts not yet
    begun are skipped and the first exception is raised here.
    """
    threads = 1 if parts < 2 or _inside.active else min(num_threads(), parts)
    if threads == 1:
        for part in range(parts):
            task(part)
        return
    job = _Job(task, parts)
    _hire(threads - 1)
    for _ in range(threads - 1):
        _jobs.put(job)
    _inside.active = True
    try:
        job.work()
    finally:
        _inside.active = False
        job.done.acquire()  # nobody may still write when the caller goes on
    if job.error is not None:
        raise job.error


def spread(task: Callable[[int, int], object], count: int, work: int) -> None:
    """Call `task(start, stop)` over ranges that make up range(count), each item being `work` cells.

    Ranges are long enough to hide what a call costs, short enough to even out and to stay in cache.
    """
    cells = count * work
    parts = min(count, cells // _LEAST, max(_PARTS, cells // _MOST))
    if parts < 2:
        task(0, count)
        return
    step = -(-count // parts)
    run(lambda i: task(i * step, min(count, (i + 1) * step)), -(-count // step))


def worth_parts(count: int, work: int) -> bool:
    """Whether `spread` would make more than one range."""
    return count > 1 and count * work >= 2 * _LEAST


def num_threads() -> int:
    """Threads a call may use: what was set, else ANYMAX_NUM_THREADS, else the processors this
    process may run on."""
    if _wanted is not None:
        return _wanted
    asked = os.environ.get("ANYMAX_NUM_THREADS")
    if asked:
        try:
            return _checked(int(asked))
        except ValueError:
            msg = f"ANYMAX_NUM_THREADS must be a positive integer, got {asked!r}"
            raise ValueError(msg) from None
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_num_threads(threads: int | None) -> None:
    """Use this many threads from now on; None goes back to the default."""
    global _wanted
    _wanted = None if threads is None else _checked(threads)


def _checked(threads: int) -> int:
    if threads < 1:
        msg = f"set_num_threads: needs at least 1 thread, got {threads}"
        raise ValueError(msg)
    return threads


def _hire(count: int) -> None:
    """See to it that this many workers exist; they never leave, waiting costs nothing."""
    global _workers
    if _workers >= count:
        return
    with _lock:
        while _workers < count:
            threading.Thread(target=_serve, args=(_jobs,), name="anymax", daemon=True).start()
            _workers += 1


def _serve(jobs: SimpleQueue[_Job]) -> None:
    _inside.active = True
    while True:
        job = jobs.get()
        job.work()
        del job  # or the arrays of the last call would live until the next one


def _forget() -> None:
    """In a forked child: the workers are gone, so begin anew with locks nobody holds."""
    global _inside, _jobs, _lock, _workers
    _inside, _jobs, _lock, _workers = _Inside(), SimpleQueue(), threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
