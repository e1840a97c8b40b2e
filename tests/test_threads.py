"""The thread pool: concurrent and nested calls, exceptions, forks, and settings."""

import itertools
import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

pytest.importorskip("numba")
from anymax._cpu import pool, row_softmax


@pytest.fixture(autouse=True)
def three_threads():
    pool.set_num_threads(3)
    yield
    pool.set_num_threads(None)


def python(code, **environment):
    """Run code in a process of its own, with the pool's module imported."""
    lines = "from anymax._cpu import pool\n" + textwrap.dedent(code)
    path = os.pathsep.join(p for p in sys.path if p)
    env = os.environ | {"PYTHONPATH": path} | environment
    command = [sys.executable, "-c", lines]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("parts", [0, 1, 2, 3, 50])
def test_every_part_runs_once(parts):
    seen = []
    pool.run(seen.append, parts)
    assert sorted(seen) == list(range(parts))


def test_ranges_cover_everything_once():
    for count, work in ((0, 5), (1, 10**7), (7, 10), (1000, 1000), (10**6, 8), (3, 10**6)):
        seen = []
        pool.spread(lambda a, b, seen=seen: seen.append((a, b)), count, work)
        seen.sort()
        assert seen[0][0] == 0
        assert seen[-1][1] == count
        assert all(b == c for (_, b), (c, _) in itertools.pairwise(seen))


def test_more_than_one_thread_works():
    barrier = threading.Barrier(3, timeout=30)  # passes only if three threads come
    pool.run(lambda i: barrier.wait(), 3)


def test_nested_calls_run_in_place():
    seen = []

    def outer(i):
        me = threading.get_ident()
        pool.run(lambda j: seen.append((i, j, threading.get_ident() == me)), 4)

    pool.run(outer, 6)
    assert sorted(seen) == [(i, j, True) for i in range(6) for j in range(4)]


def test_concurrent_calls():
    x = np.random.default_rng(0).standard_normal((200, 400)).astype(np.float32)
    want = row_softmax.softmax(x, None, axis=1, scale=1.0)
    same = []

    def caller():
        outs = (row_softmax.softmax(x, None, axis=1, scale=1.0) for _ in range(20))
        same.extend(np.array_equal(out, want) for out in outs)

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 160


def test_an_exception_reaches_the_caller_and_leaves_the_pool_usable():
    def task(i):
        if i == 5:
            msg = "part 5"
            raise KeyError(msg)

    for _ in range(3):
        with pytest.raises(KeyError, match="part 5"):
            pool.run(task, 20)
    test_every_part_runs_once(50)
    test_more_than_one_thread_works()


def test_parts_after_an_exception_are_skipped():
    pool.set_num_threads(1)
    seen = []

    def task(i):
        seen.append(i)
        raise ValueError

    with pytest.raises(ValueError):
        pool.run(task, 5)
    assert seen == [0]


def test_arrays_of_the_last_call_are_let_go():
    import gc
    import weakref

    class Big:
        pass

    big = Big()
    gone = weakref.ref(big)
    barrier = threading.Barrier(3, timeout=30)
    pool.run(lambda i, big=big: barrier.wait(), 3)
    del big
    for _ in range(100):
        gc.collect()
        if gone() is None:
            return
        threading.Event().wait(0.01)
    pytest.fail("a worker still holds the task")


def test_child_forked_while_the_pool_runs():
    out = python(
        """
        import os, threading
        import numpy as np
        from anymax._cpu import row_softmax
        pool.set_num_threads(3)
        x = np.ones((200, 400), np.float32)
        call = lambda: row_softmax.softmax(x, None, axis=1, scale=1.0)
        want, stop = call(), threading.Event()

        def busy():
            while not stop.is_set():
                call()

        threads = [threading.Thread(target=busy) for _ in range(2)]
        [t.start() for t in threads]
        codes = []
        for _ in range(5):
            child = os.fork()
            if child == 0:
                barrier = threading.Barrier(3, timeout=20)
                pool.run(lambda i: barrier.wait(), 3)
                os._exit(0 if np.array_equal(call(), want) else 1)
            codes.append(os.waitpid(child, 0)[1])
        stop.set()
        [t.join() for t in threads]
        print(*codes)
        """
    )
    assert out == ["0"] * 5


def test_child_forked_by_a_worker():
    out = python(
        """
        import os, threading
        pool.set_num_threads(3)
        codes = []

        def task(i):
            child = os.fork()
            if child == 0:
                barrier = threading.Barrier(3, timeout=20)
                pool.run(lambda j: barrier.wait(), 3)
                os._exit(0)
            codes.append(os.waitpid(child, 0)[1])

        pool.run(task, 4)
        print(*codes)
        """
    )
    assert out == ["0"] * 4


def test_settings(monkeypatch):
    pool.set_num_threads(None)
    monkeypatch.delenv("ANYMAX_NUM_THREADS", raising=False)
    assert pool.num_threads() >= 1
    monkeypatch.setenv("ANYMAX_NUM_THREADS", "5")
    assert pool.num_threads() == 5
    pool.set_num_threads(2)
    assert pool.num_threads() == 2
    pool.set_num_threads(None)
    for bad in ("0", "many"):
        monkeypatch.setenv("ANYMAX_NUM_THREADS", bad)
        with pytest.raises(ValueError, match="ANYMAX_NUM_THREADS"):
            pool.num_threads()
    with pytest.raises(ValueError, match="at least 1"):
        pool.set_num_threads(0)


def test_one_thread_starts_none():
    code = "import threading; pool.run(print, 2); print(threading.active_count())"
    assert python(code, ANYMAX_NUM_THREADS="1") == ["0", "1", "1"]
