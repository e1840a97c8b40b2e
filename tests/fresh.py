"""A fresh interpreter for what one process cannot show: imports, absent libraries, start-up."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import anymax

SOURCE = str(pathlib.Path(anymax.__file__).parents[1])
BLOCK = """
import sys
from importlib.machinery import PathFinder

class Without:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in {absent!r}:
            return PathFinder.find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""


def run(code: str, *, absent: tuple[str, ...] = (), timeout: float = 120.0, **env: str) -> str:
    """Standard output of `code` in a new interpreter where the libraries `absent` are missing."""
    environment = {k: v for k, v in os.environ.items() if k != "ANYMAX_BACKEND"}
    environment |= {"PYTHONPATH": SOURCE, **env}
    prefix = BLOCK.format(absent=absent) if absent else ""
    done = subprocess.run(
        [sys.executable, "-c", prefix + code],
        capture_output=True, text=True, timeout=timeout, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
