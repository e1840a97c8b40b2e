"""The cache of compiled kernels: what its key holds, and folders that can't be written."""

import os
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")
import anymax._cpu

KERNEL = """
    import numpy as np
    from anymax._cpu import jit
    from numba import types

    arrays = lambda cell: (jit.const(cell, 1), cell[::1])

    @jit.jit(args=arrays)
    def kernel(x, y):
        y[0] = x[0] {what}

    x, y = np.full(3, 0.5, np.float32), np.zeros(3, np.float32)
    kernel(x, y)
    hits = sum(kernel.versions[x.dtype].stats.cache_hits.values())
    print(y[0], hits)
"""


@pytest.fixture
def home(tmp_path):
    """A folder with a package, a place for the cache, and a module to run."""
    package = tmp_path / "site" / "anymax"
    shutil.copytree(
        Path(anymax._cpu.__file__).parent,
        package / "_cpu",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (package / "__init__.py").touch()
    (tmp_path / "cache").mkdir()
    return tmp_path


def start(home, code, **environment):
    script, text = home / "script.py", textwrap.dedent(code)
    if not script.exists() or script.read_text() != text:  # another process may be reading it
        script.write_text(text)
    path = os.pathsep.join([str(home / "site"), *(p for p in sys.path if "site-packages" in p)])
    env = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(home / "cache")} | environment
    env = {name: value for name, value in env.items() if value}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, str(script)], env=env, stdout=pipe, stderr=pipe)


def run(home, code=KERNEL, what="* 2", **environment):
    process = start(home, code.replace("{what}", what), **environment)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err.decode()
    return out.decode().split(), err.decode()


def files(home):
    return sorted(p.name for p in (home / "cache").rglob("*.nbc"))


def test_the_second_process_compiles_nothing(home):
    assert run(home)[0] == ["1.0", "0"]
    assert run(home)[0] == ["1.0", "1"]
    assert len(files(home)) == 1


def test_an_edit_to_any_file_renews(home):
    run(home)
    with (home / "site" / "anymax" / "_cpu" / "simd.py").open("a") as file:
        file.write("# an edit\n")
    assert run(home)[0] == ["1.0", "0"]


def test_an_edit_to_the_kernel_renews(home):
    run(home)
    assert run(home, what="* 3")[0] == ["1.5", "0"]


def test_flags_are_part_of_the_key(home):
    code = """
    import numpy as np
    from anymax._cpu import jit

    arrays = lambda cell: (jit.const(cell, 1), cell[::1])

    def body(x, y):
        s = x[0] - x[0]
        for j in range(x.size):
            s += x[j]
        y[0] = s

    x, y = np.full(1_000_000, 0.1, np.float32), np.zeros(1, np.float32)
    for reassoc in (True, False):
        kernel = jit.jit(body, args=arrays, reassoc=reassoc)
        kernel(x, y)
        print(y[0], sum(kernel.versions[x.dtype].stats.cache_hits.values()))
    """
    first, _ = run(home, code)
    again, _ = run(home, code)
    assert first[1::2] == ["0", "0"]
    assert again[1::2] == ["1", "1"]
    assert first[::2] == again[::2]
    assert first[0] != first[2]  # sums in another order


def test_cache_can_be_turned_off(home):
    for _ in range(2):
        out, err = run(home, ANYMAX_CACHE="0")
        assert out == ["1.0", "0"]
        assert err == ""
    assert files(home) == []


def test_a_folder_that_cannot_be_written_warns_once(home):
    blocked = home / "blocked"
    blocked.write_text("a file where a folder should be")
    code = KERNEL + "\n    jit.jit(lambda x, y: None, args=arrays)(x, y)\n"
    out, err = run(home, code, NUMBA_CACHE_DIR=str(blocked / "x"))
    assert out[0] == "1.0"
    # numba falls back to the folder beside the script, which exists: take that away too
    lock = "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
    out, err = run(home, lock + textwrap.dedent(code), NUMBA_CACHE_DIR=str(blocked / "x"))
    assert out[0] == "1.0"
    assert err.count("can't be kept on disk") == 1
    out, err = run(
        home, lock + textwrap.dedent(code), NUMBA_CACHE_DIR=str(blocked / "x"), ANYMAX_CACHE="0"
    )
    assert err == ""


def test_a_disk_that_fills_up_warns_and_computes(home):
    fill = """
    import pathlib

    def full(self, data):
        raise OSError(28, "No space left on device")

    pathlib.Path.write_bytes = full
    """
    out, err = run(home, textwrap.dedent(fill) + textwrap.dedent(KERNEL))
    assert out == ["1.0", "0"]
    assert "No space left" in err
    assert files(home) == []


def test_a_torn_file_is_replaced(home):
    run(home)
    (torn,) = (home / "cache").rglob("*.nbc")
    torn.write_bytes(torn.read_bytes()[:100])
    assert run(home)[0] == ["1.0", "0"]
    assert run(home)[0] == ["1.0", "1"]


def test_several_processes_start_cold(home):
    code = """
    import numpy as np
    from anymax._cpu import row_softmax
    for dtype in (np.float32, np.float64):
        print(float(row_softmax.lane(np.zeros((2, 4), dtype))[0, 0]))
    """
    processes = [start(home, code) for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err.decode()
        assert out.decode().split() == ["0.25", "0.25"]
    assert run(home, code)[0] == ["0.25", "0.25"]
    assert not list((home / "cache").rglob("*.tmp"))


def test_kernels_refuse_what_they_were_not_compiled_for():
    from anymax._cpu import row_softmax

    x, w = np.zeros((3, 4), np.float32), np.ones((1, 1), np.uint8)
    frozen = x.copy()
    frozen.flags.writeable = False
    out = np.empty_like(x)
    row_softmax.softmax_rows(frozen, w, out, 1.0)
    for bad in ((x.T, w, out), (x, w, out.astype(np.float64)), (x, w, frozen)):
        with pytest.raises(TypeError):
            row_softmax.softmax_rows(*bad, 1.0)


def test_warm_compiles_every_kernel_it_names():
    from anymax._cpu import jit

    kernels = jit.kernels()
    assert {"row_softmax.softmax_rows", "cross_entropy_kernels.loss_rows"} <= set(kernels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = dict(jit.warm(["bfloat16"]))
    assert any(name.endswith(" bfloat16") for name in done)
    assert all(seconds >= 0 for seconds in done.values())
