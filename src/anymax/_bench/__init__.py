"""Benchmarks: anymax against others, side by side in one process.  ``python -m anymax bench``."""

from anymax._bench.run import main

__all__ = ["main"]
